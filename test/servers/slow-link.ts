/**
 * A slow uplink with an impatient far end behind it, as a proxy in front of an HTTP server on loopback: so many bytes per
 * second over all connections, every request cut after a time however well it goes (as tunnels do), sockets on which
 * nothing is asked for a while closed without a word.
 */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface SlowLinkOptions {
  /** Of request bodies. */
  bytesPerSecond: number;
  /** ms; a request that isn't answered by then is cut. */
  cutAfterMs: number;
  /** ms; an idle socket is closed after it. */
  idleMs: number;
}

const PIECE = 16 * 1024;

export class SlowLink {
  endpoint = '';
  /** Requests that were cut. */
  cuts = 0;
  /** Idle sockets that were closed. */
  closed = 0;
  /** Bytes of request bodies that came through, those of cut requests too. */
  passed = 0;
  private readonly target: URL;
  private readonly sockets = new Set<Socket>();
  /** When the line is free again, by `performance.now()`. */
  private freeAt = 0;
  private readonly server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (incoming, answer) => {
    void this.pass(incoming, answer).catch(() => incoming.socket.destroy());
  });

  private constructor(
    target: string,
    private readonly options: SlowLinkOptions,
  ) {
    this.target = new URL(target);
  }

  static async start(target: string, options: SlowLinkOptions): Promise<SlowLink> {
    const link = new SlowLink(target, options);
    link.server.on('connection', (socket) => {
      link.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('timeout', () => {
        link.closed++;
        socket.destroy();
      });
      socket.once('close', () => link.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => link.server.listen(0, '127.0.0.1', resolve));
    link.endpoint = `http://127.0.0.1:${(link.server.address() as AddressInfo).port}`;
    return link;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { socket } = incoming;
    socket.setTimeout(0);
    const outgoing = request({
      host: this.target.hostname,
      port: this.target.port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
    });
    outgoing.on('error', () => socket.destroy());
    const cut = setTimeout(() => {
      this.cuts++;
      socket.resetAndDestroy();
    }, this.options.cutAfterMs);
    answer.once('close', () => {
      clearTimeout(cut);
      outgoing.destroy();
    });
    const responded = new Promise<IncomingMessage>((resolve) => outgoing.once('response', resolve));
    await this.send(incoming, outgoing);
    const response = await responded;
    const headers = { ...response.headers };
    if (headers.location !== undefined)
      headers.location = headers.location.replace(this.target.origin, this.endpoint);
    answer.writeHead(response.statusCode!, headers);
    response.pipe(answer);
    answer.once('finish', () => socket.setTimeout(this.options.idleMs));
  }

  private async send(incoming: IncomingMessage, outgoing: ReturnType<typeof request>): Promise<void> {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      for (let offset = 0; offset < chunk.length; offset += PIECE) {
        const piece = chunk.subarray(offset, offset + PIECE);
        await this.waitForTurn(piece.length);
        if (incoming.socket.destroyed) return;
        this.passed += piece.length;
        outgoing.write(piece);
      }
    }
    outgoing.end();
  }

  /** Connections take turns, piece by piece. */
  private async waitForTurn(bytes: number): Promise<void> {
    const now = performance.now();
    const start = Math.max(now, this.freeAt);
    this.freeAt = start + (bytes / this.options.bytesPerSecond) * 1000;
    // Timers are coarse: short waits are made up for later.
    if (this.freeAt - now > 5) await delay(this.freeAt - now);
  }
}
