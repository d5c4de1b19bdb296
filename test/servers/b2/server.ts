/**
 * Backblaze B2 for tests: the strict S3 server with Backblaze's own interface and Backblaze's differences in front of it.
 * It has only ever been held against documentation and reports of others, never against Backblaze itself. Each rule names
 * its source:
 *
 * - conditional writes are refused: https://github.com/sathinduga/obsidian-s3-sync-and-backup/issues/78
 * - every bucket keeps versions, deleting a name hides it: https://www.backblaze.com/apidocs/s3-delete-object
 * - caps are 403 AccessDenied with these words: https://www.backblaze.com/docs/cloud-storage-data-caps-and-alerts, and
 *   https://github.com/restic/restic/issues/3265
 * - the master key is not known here: https://www.backblaze.com/docs/cloud-storage-s3-compatible-app-keys, with these words:
 *   https://github.com/muxinc/next-video/issues/216
 */

import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseTarget } from '../s3/request.js';
import { type S3Server, type S3ServerOptions, startS3Server } from '../s3/server.js';
import { allowsRequest, type B2Key, type B2KeyOptions, makeKey } from './keys.js';
import { NativeInterface } from './native.js';

/** Which of the account's caps is used up. */
export type Cap = 'storage' | 'download' | 'transactions';

const CAP_MESSAGES: Record<Cap, string> = {
  storage: 'Cannot upload files, storage cap exceeded. See the Caps &amp; Alerts page to increase your cap.',
  download:
    'Cannot download file, download bandwidth or transaction (Class B) cap exceeded. See the Caps &amp; Alerts page to increase your cap.',
  transactions: 'Transaction cap exceeded. See the Caps &amp; Alerts page to increase your cap.',
};

export interface B2Server {
  /** `http://127.0.0.1:PORT`, of both interfaces. */
  readonly url: string;
  readonly region: string;
  readonly accountId: string;
  /** ID is the account's. */
  readonly masterKey: B2Key;
  readonly s3: S3Server;
  /** Paths asked of Backblaze's own interface. */
  readonly nativeRequests: string[];
  exceededCap: Cap | undefined;
  addKey(options?: B2KeyOptions): B2Key;
  /** `hasS3` false: made before May 2020. */
  createBucket(name: string, options?: { hasS3?: boolean }): void;
  stop(): Promise<void>;
}

/** `options` are those of the S3 server behind it. */
export async function startB2Server(options: Partial<S3ServerOptions> = {}): Promise<B2Server> {
  const s3 = await startS3Server({ port: 0, region: 'us-west-004', ...options });
  const accountId = '15f935cf4dcb';
  const masterKey: B2Key = { ...makeKey({}), applicationKeyId: accountId };
  const keys = new Map([[accountId, masterKey]]);
  const oldBuckets = new Set<string>();
  const native = new NativeInterface({ s3, keys, accountId, oldBuckets, url: () => server.url });
  const front = new Front(s3, native, oldBuckets);
  const listener = createServer((incoming, answer) => {
    void front.serve(incoming, answer).catch(() => incoming.socket.destroy());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));

  const server: B2Server = {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    region: s3.region,
    accountId,
    masterKey,
    s3,
    nativeRequests: native.requests,
    get exceededCap() {
      return front.exceededCap;
    },
    set exceededCap(cap) {
      front.exceededCap = cap;
    },
    addKey(options = {}) {
      const key = makeKey(options);
      keys.set(key.applicationKeyId, key);
      if (options.hasS3 !== false) {
        s3.credentials.set(key.applicationKeyId, {
          accessKeyId: key.applicationKeyId,
          secretAccessKey: key.applicationKey,
          allows: (request) => allowsRequest(key, request),
        });
      }
      return key;
    },
    createBucket(name, options = {}) {
      s3.createBucket({ name, versioning: 'Enabled' });
      if (options.hasS3 === false) oldBuckets.add(name);
    },
    async stop() {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
      await s3.stop();
    },
  };
  return server;
}

class Front {
  exceededCap: Cap | undefined;

  constructor(
    private readonly s3: S3Server,
    private readonly native: NativeInterface,
    private readonly oldBuckets: ReadonlySet<string>,
  ) {}

  async serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = incoming.url ?? '';
    if (url.startsWith('/b2api/') || url.startsWith('/file/')) {
      await this.native.serve(incoming, answer);
      return;
    }
    const refusal = this.refusalOf(incoming);
    if (refusal === undefined) await this.pass(incoming, answer);
    else await refuse(incoming, answer, ...refusal);
  }

  private refusalOf(incoming: IncomingMessage): [number, string, string] | undefined {
    const { method = '', headers, url = '' } = incoming;
    const { bucket, key } = parseTarget(url, headers.host ?? '', 'localhost');
    const writes = method === 'PUT' || method === 'POST';
    const isConditional = headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
    if (writes && isConditional) {
      return [501, 'NotImplemented', 'A header you provided implies functionality that is not implemented.'];
    }
    if (this.oldBuckets.has(bucket)) {
      return [400, 'InvalidRequest', 'The specified bucket does not support the S3 API'];
    }
    const cap = this.exceededCap;
    const isHit =
      (cap === 'storage' && writes && key !== '') ||
      (cap === 'download' && key !== '' && (method === 'GET' || method === 'HEAD')) ||
      (cap === 'transactions' && key === '' && method === 'GET');
    return cap !== undefined && isHit ? [403, 'AccessDenied', CAP_MESSAGES[cap]] : undefined;
  }

  private async pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { bucket, key, query } = parseTarget(incoming.url ?? '', incoming.headers.host ?? '', 'localhost');
    await new Promise<void>((resolve, reject) => {
      const inner = httpRequest(
        {
          port: this.s3.port,
          host: '127.0.0.1',
          method: incoming.method,
          path: incoming.url,
          headers: incoming.headers,
        },
        (response) => {
          // "All buckets have versioning enabled."
          if (incoming.method === 'PUT' && key === '' && query.size === 0 && response.statusCode === 200) {
            this.s3.objects.bucket(bucket).versioning = 'Enabled';
          }
          answer.writeHead(response.statusCode ?? 500, response.rawHeaders);
          response.pipe(answer);
          response.once('end', resolve);
          response.once('error', reject);
          response.once('close', () => (response.complete ? resolve() : reject(new Error('cut'))));
        },
      );
      inner.once('error', reject);
      incoming.once('close', () => {
        if (!incoming.complete) inner.destroy();
      });
      answer.once('close', () => inner.destroy());
      incoming.pipe(inner);
    });
  }
}

async function refuse(
  incoming: IncomingMessage,
  answer: ServerResponse,
  status: number,
  code: string,
  message: string,
): Promise<void> {
  for await (const _ of incoming) {
    // Let it go by, so that the client gets to see the answer.
  }
  const body =
    incoming.method === 'HEAD' ? '' : `<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  answer.writeHead(status, { 'content-type': 'application/xml', date: new Date().toUTCString() });
  answer.end(body);
}
