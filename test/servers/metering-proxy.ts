/**
 * A proxy in front of an HTTP server on loopback that passes bodies on as streams, counts their bytes both ways, and
 * can hold requests back: what a run that was stopped in the middle had got to the server, exactly.
 */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Bodies smaller than this are no file's content. Bytes. */
const LARGE = 64 * 1024;
const HEAD_SIZE = 256;

export interface Meter {
  method: string;
  url: string;
  /** Bytes of the request's body that have come through. */
  sent: number;
  /** Bytes of the answer's body that have come through. */
  received: number;
  /** The server has answered with success, and the answer came through. */
  answered: boolean;
  /** The first bytes of the request's body. */
  head: Buffer;
}

export class MeteringProxy {
  /** Those with a large body, one way or the other. */
  meters: Meter[] = [];
  /** All requests: method and path. */
  requests: { method: string; url: string }[] = [];
  /** Content that is let through, in bytes; large requests beyond are held unanswered. */
  limit = Number.POSITIVE_INFINITY;
  /** Large requests that are held. */
  held = 0;
  endpoint = '';
  private admitted = 0;
  private readonly sockets = new Set<Socket>();
  private readonly target: URL;
  private readonly server = createServer((incoming, answer) => {
    this.pass(incoming, answer).catch(() => incoming.socket.destroy());
  });

  private constructor(target: string) {
    this.target = new URL(target);
  }

  static async start(target: string): Promise<MeteringProxy> {
    const proxy = new MeteringProxy(target);
    proxy.server.on('connection', (socket) => {
      proxy.sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => proxy.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    proxy.endpoint = `http://127.0.0.1:${(proxy.server.address() as AddressInfo).port}`;
    return proxy;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Begins to count anew and lets everything through. */
  reset(limit = Number.POSITIVE_INFINITY): void {
    this.meters = [];
    this.requests = [];
    this.held = 0;
    this.admitted = 0;
    this.limit = limit;
  }

  /** Bytes of files' content sent to the server. */
  get sent(): number {
    return this.meters.reduce((sum, { sent }) => sum + sent, 0);
  }

  /** Bytes of files' content sent by the server. */
  get received(): number {
    return this.meters.reduce((sum, { received }) => sum + (received > LARGE ? received : 0), 0);
  }

  /** Nothing that was let through is still on its way. */
  get isSettled(): boolean {
    return this.meters.every(({ answered }) => answered);
  }

  private async pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', url = '' } = incoming;
    this.requests.push({ method, url });
    const size = Number(incoming.headers['content-length'] ?? 0);
    const range = /bytes=(\d+)-(\d+)/.exec(
      String(incoming.headers.range ?? incoming.headers['x-ms-range'] ?? ''),
    );
    const asked = range === null ? 0 : Number(range[2]) - Number(range[1]) + 1;
    const meter: Meter = { method, url, sent: 0, received: 0, answered: false, head: Buffer.alloc(0) };
    const isLarge = Math.max(size, asked) > LARGE || incoming.headers['transfer-encoding'] !== undefined;
    if (isLarge) {
      if (this.admitted >= this.limit) {
        this.held++;
        return;
      }
      this.admitted += Math.max(size, asked);
      this.meters.push(meter);
    }
    const outgoing = request({
      host: this.target.hostname,
      port: this.target.port,
      method,
      path: url,
      headers: incoming.headers,
    });
    answer.once('close', () => outgoing.destroy());
    const responded = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    const sending = pipeline(incoming, this.counter(meter, 'sent'), outgoing).catch(() => {});
    const response = await responded;
    // A resumable address leads back here.
    const { location } = response.headers;
    const headers = { ...response.headers };
    if (location !== undefined) headers.location = location.replace(this.target.origin, this.endpoint);
    answer.writeHead(response.statusCode!, headers);
    await pipeline(response, this.counter(meter, 'received'), answer);
    await sending;
    if (!isLarge && meter.received > LARGE) this.meters.push(meter);
    meter.answered = true;
  }

  private counter(meter: Meter, way: 'sent' | 'received'): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        meter[way] += chunk.length;
        if (way === 'sent' && meter.head.length < HEAD_SIZE) {
          meter.head = Buffer.concat([meter.head, chunk]).subarray(0, HEAD_SIZE);
        }
        done(null, chunk);
      },
    });
  }
}
