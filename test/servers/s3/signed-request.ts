import { createHash, createHmac } from 'node:crypto';
import * as http from 'node:http';

/**
 * A client that sends exactly what it is told, signed by the book and written apart from the server's own check
 * ("Create a signed AWS API request"): for requests no SDK would send.
 */
export interface SignedRequest {
  method?: string;
  /** As it stands in the request line, encoded: `/bucket/a%20b?list-type=2`. */
  target: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
  /** Default: the SHA-256 of the body. */
  payload?: string;
  /** Default: now. ms since the epoch. */
  time?: number;
  region?: string;
  /** Headers that are sent and not signed. */
  unsignedHeaders?: Record<string, string>;
  accessKeyId?: string;
  secretAccessKey?: string;
  /** Not signed at all. */
  anonymous?: true;
  /** Makes the body of the answer's framing from seed signature and key: for chunked uploads. */
  encodeBody?: (signing: { key: Buffer; seed: string; date: string; scope: string }) => Buffer;
}

export interface SignedAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
  /** `<Code>` of an error document. */
  code: string | undefined;
}

export interface Endpoint {
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
export const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

/** Sends it on a connection of its own. */
export async function sendSigned(endpoint: Endpoint, request: SignedRequest): Promise<SignedAnswer> {
  const { method = 'GET', target, body = '', time = Date.now(), region = endpoint.region } = request;
  const url = new URL(endpoint.url);
  const date = `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const payload = request.payload ?? sha256(body);
  const headers: Record<string, string> = {
    host: url.host,
    'x-amz-date': date,
    'x-amz-content-sha256': payload,
    ...request.headers,
  };
  const names = Object.keys(headers).sort();
  const [path = '', query = ''] = target.split('?');
  const pairs = query === '' ? [] : query.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`));
  const lines = names.map((name) => `${name}:${headers[name]?.trim()}\n`).join('');
  const canonical = [method, path, pairs.sort().join('&'), lines, names.join(';'), payload].join('\n');
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  let key = Buffer.from(`AWS4${request.secretAccessKey ?? endpoint.secretAccessKey}`);
  for (const part of scope.split('/')) key = hmac(key, part);
  const seed = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`).toString('hex');
  const accessKeyId = request.accessKeyId ?? endpoint.accessKeyId;
  if (!request.anonymous)
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${seed}`;
  const bytes = request.encodeBody?.({ key, seed, date, scope }) ?? Buffer.from(body);
  return send(endpoint, method, target, { ...headers, ...request.unsignedHeaders }, bytes);
}

/** Sends it without adding anything but the length. */
export async function send(
  endpoint: Pick<Endpoint, 'url'>,
  method: string,
  target: string,
  headers: Record<string, string>,
  bytes: Buffer = Buffer.alloc(0),
): Promise<SignedAnswer> {
  const url = new URL(endpoint.url);
  if (bytes.length > 0 || method === 'PUT' || method === 'POST') {
    if (!('content-length' in headers) && !('transfer-encoding' in headers))
      headers['content-length'] = String(bytes.length);
  }
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      host: url.hostname,
      port: url.port,
      method,
      path: target,
      headers,
      agent: false,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        const code = /<Code>([^<]*)<\/Code>/.exec(body.toString())?.[1];
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, code });
      });
    });
    outgoing.end(bytes);
  });
}
