/**
 * A strict Google Cloud Storage: the JSON API as far as the store, Google's SDK and rclone need it, and the token service.
 * It refuses what the documentation doesn't allow, unknown parameters and fields among it; each rule names its page.
 */

import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { Bucket } from './buckets.js';
import type { ServerState } from './call.js';
import { Faults } from './faults.js';
import { Front } from './front.js';
import { RequestLog } from './request-log.js';
import { type Session, Sessions } from './sessions.js';
import { makeServiceAccount, type ServiceAccount, TokenService } from './token.js';

export type { Generation } from './buckets.js';
export type { Fault, FaultAction, RequestKind } from './faults.js';

export interface GoogleCloudStorageServerOptions {
  /** Default 0: a free one. */
  port?: number;
  projectId?: string;
  buckets?: readonly string[];
  /** ms before each answer. */
  latencyMs?: number;
  /** PEM; the server speaks HTTPS then. */
  tls?: { key: string; cert: string };
}

/** A running server. */
export interface GoogleCloudStorageServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly projectId: string;
  readonly clientEmail: string;
  /** JSON, as the console gives it; its token_uri is this server. */
  readonly serviceAccountKey: string;
  readonly account: ServiceAccount;
  readonly requests: RequestLog;
  readonly faults: Faults;
  /** IAM permissions the account does not have, such as `storage.objects.delete`. */
  readonly denied: Set<string>;
  readonly buckets: Map<string, Bucket>;
  /** Upload sessions, over or not. */
  readonly sessions: ReadonlyMap<string, Session>;
  readonly tokens: TokenService;
  /** Server's clock minus the real one, ms. */
  clockOffsetMs: number;
  latencyMs: number;
  /** A rewrite copies so many bytes with each call. */
  rewriteBytesPerCall: number;
  createBucket(name: string, options?: Partial<Pick<Bucket, BucketSetting>>): Bucket;
  /** All tokens given so far are over. */
  expireTokens(): void;
  stop(): Promise<void>;
}

type BucketSetting = 'versioning' | 'uniformAccess' | 'retentionSeconds' | 'requesterPays' | 'storageClass';

/** Starts a server of its own, empty but for `buckets`. */
export async function startGoogleCloudStorageServer(
  options: GoogleCloudStorageServerOptions = {},
): Promise<GoogleCloudStorageServer> {
  const projectId = options.projectId ?? 'home-backup-123456';
  const state: ServerState = { projectId, buckets: new Map(), rewriteBytesPerCall: Number.POSITIVE_INFINITY };
  const listener = options.tls === undefined ? http.createServer() : https.createServer(options.tls);
  listener.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = listener.address() as AddressInfo;
  const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const { account, key } = makeServiceAccount(projectId, `${url}/token`);
  const now = () => Date.now() + server.clockOffsetMs;
  const tokens = new TokenService([account], () => `${url}/token`, now);
  const sessions = new Sessions();
  const server: GoogleCloudStorageServer = {
    url,
    projectId,
    clientEmail: account.email,
    serviceAccountKey: JSON.stringify(key, undefined, 2),
    account,
    requests: new RequestLog(),
    faults: new Faults(),
    denied: new Set(),
    buckets: state.buckets,
    sessions: sessions.byId,
    tokens,
    clockOffsetMs: 0,
    latencyMs: options.latencyMs ?? 0,
    get rewriteBytesPerCall() {
      return state.rewriteBytesPerCall;
    },
    set rewriteBytesPerCall(bytes) {
      state.rewriteBytesPerCall = bytes;
    },
    createBucket(name, settings = {}) {
      const bucket = new Bucket(name, projectId, 'EU', now());
      Object.assign(bucket, settings);
      state.buckets.set(name, bucket);
      return bucket;
    },
    expireTokens: () => tokens.tokens.clear(),
    async stop() {
      await new Promise<void>((resolve) => {
        listener.close(() => resolve());
        listener.closeAllConnections();
      });
    },
  };
  const front = new Front({
    state,
    faults: server.faults,
    requests: server.requests,
    tokens,
    sessions,
    denied: server.denied,
    now,
    origin: () => url,
    latencyMs: () => server.latencyMs,
  });
  listener.on('request', (incoming, outgoing) => {
    front.handle(incoming, outgoing).catch((error: unknown) => {
      console.error(error);
      incoming.socket.destroy();
    });
  });
  for (const name of options.buckets ?? []) server.createBucket(name);
  return server;
}
