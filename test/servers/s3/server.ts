import { randomBytes } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { BlobFolder } from './blobs.js';
import { Bucket, type Versioning } from './buckets.js';
import { Clock } from './clock.js';
import type { ServerState } from './context.js';
import type { Credential } from './credentials.js';
import { Faults } from './faults.js';
import { Front } from './front.js';
import { Network } from './network.js';
import { ObjectAccess } from './object-access.js';
import { RequestLog } from './request-log.js';

export type { ObjectVersion } from './buckets.js';
export { type Credential, denyOperations } from './credentials.js';
export type { Fault, FaultAction } from './faults.js';
export type { ListPage } from './listing.js';
export type { S3Request } from './request.js';

export interface BucketOptions {
  name: string;
  /** Default: the server's. */
  region?: string;
  versioning?: Versioning;
  quotaBytes?: number;
}

export interface S3ServerOptions {
  /** Default 0: a free one. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default us-east-1. */
  region?: string;
  accessKeyId?: string;
  secretAccessKey?: string;
  /** More keys, beside the one above. */
  credentials?: readonly Credential[];
  buckets?: readonly (string | BucketOptions)[];
  /** ms before each answer. */
  latencyMs?: number;
  /** Bodies up to this many bytes stay in memory, others go to files. Default 1 MiB; 0: all go to files. */
  inMemoryBytes?: number;
  /** Requests to `BUCKET.domain` are virtual-host style. Default localhost. */
  domain?: string;
  /** PEM; the server speaks HTTPS then. */
  tls?: { key: string; cert: string };
  /** Default 5 MiB, as S3 has it; smaller makes quicker tests, less strict ones too. */
  minPartSize?: number;
  /** ms a thaw takes; default: the hours of the tier, by `clock`. */
  thawMs?: number;
  /** Entries of `requests.log` that are kept at least. Default 100,000; 0: none. */
  logLimit?: number;
  /** Keys on a page of a listing at most. Default 1,000, as S3 has it. */
  listPageSize?: number;
}

/** A running server. */
export interface S3Server {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly requests: RequestLog;
  readonly faults: Faults;
  readonly network: Network;
  readonly clock: Clock;
  /** By access key id; may be changed at any time. */
  readonly credentials: Map<string, Credential>;
  /** What is stored, past the protocol: for oracles and for damage. */
  readonly objects: ObjectAccess;
  createBucket(options: string | BucketOptions): Bucket;
  /** Connections are refused from now on, the open ones are broken. */
  refuseConnections(): Promise<void>;
  /** Listens again, on the same port. */
  acceptConnections(): Promise<void>;
  /** Ends everything and removes the server's files. */
  stop(): Promise<void>;
}

/** Starts a server of its own, empty but for `buckets`. */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const clock = new Clock();
  const network = new Network();
  network.latencyMs = options.latencyMs ?? 0;
  const folder = path.join(os.tmpdir(), `s3-server-${process.pid}-${randomBytes(6).toString('hex')}`);
  const state: ServerState = {
    clock,
    blobs: new BlobFolder(folder, options.inMemoryBytes ?? 1024 * 1024),
    buckets: new Map(),
    region: options.region ?? 'us-east-1',
    secure: options.tls !== undefined,
    minPartSize: options.minPartSize ?? 5 * 1024 * 1024,
    thawMs: options.thawMs,
    listPageSize: options.listPageSize ?? 1000,
  };
  const accessKeyId = options.accessKeyId ?? 'AKIDEXAMPLE000000000';
  const secretAccessKey = options.secretAccessKey ?? 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
  const credentials = new Map<string, Credential>();
  for (const credential of [{ accessKeyId, secretAccessKey }, ...(options.credentials ?? [])]) {
    credentials.set(credential.accessKeyId, credential);
  }
  const faults = new Faults();
  const requests = new RequestLog(options.logLimit ?? 100_000);
  const front = new Front({
    state,
    faults,
    network,
    credentials,
    requests,
    domain: options.domain ?? 'localhost',
  });
  const host = options.host ?? '127.0.0.1';
  let listener = await listen(front, network, host, options.port ?? 0, options.tls);
  const { port } = listener.address() as AddressInfo;

  const server: S3Server = {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    port,
    region: state.region,
    accessKeyId,
    secretAccessKey,
    requests,
    faults,
    network,
    clock,
    credentials,
    objects: new ObjectAccess(state),
    createBucket(bucketOptions) {
      const { name, region, versioning, quotaBytes }: BucketOptions =
        typeof bucketOptions === 'string' ? { name: bucketOptions } : bucketOptions;
      const bucket = new Bucket(name, region ?? state.region, clock.now());
      bucket.versioning = versioning;
      if (quotaBytes !== undefined) bucket.quotaBytes = quotaBytes;
      state.buckets.set(name, bucket);
      return bucket;
    },
    refuseConnections: () => close(listener),
    async acceptConnections() {
      listener = await listen(front, network, host, port, options.tls);
    },
    async stop() {
      await close(listener);
      for (const bucket of state.buckets.values()) bucket.close();
      state.blobs.remove();
    },
  };
  for (const bucket of options.buckets ?? []) server.createBucket(bucket);
  return server;
}

async function listen(
  front: Front,
  network: Network,
  host: string,
  port: number,
  tls: S3ServerOptions['tls'],
): Promise<http.Server> {
  const options = { keepAliveTimeout: 0, requestTimeout: 0, noDelay: true, maxHeaderSize: 32 * 1024, ...tls };
  const listener = tls === undefined ? http.createServer(options) : https.createServer(options);
  listener.on('request', (incoming, response) => front.handle(incoming, response, false));
  listener.on('checkContinue', (incoming, response) => front.handle(incoming, response, true));
  listener.on('connection', (socket) => socket.setTimeout(network.idleTimeoutMs));
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, host, resolve);
  });
  return listener;
}

async function close(listener: http.Server): Promise<void> {
  if (!listener.listening) return;
  await new Promise<void>((resolve) => {
    listener.close(() => resolve());
    listener.closeAllConnections();
  });
}
