/** A proxy in front of an HTTP server on loopback that logs requests and, where a rule says so, does them harm. */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface LoggedRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingMessage['headers'];
  bodySize: number;
}

/** What happens to one request; nothing of it: it is passed on as it is. */
export interface Fault {
  /** Answer this instead of asking the server. */
  answer?: { status: number; headers?: Record<string, string>; body?: string };
  /** Change one byte of the request's body. */
  corruptRequest?: boolean;
  /** Change one byte of the answer's body. */
  corruptAnswer?: boolean;
  /** Break the connection after so many bytes of the answer's body. */
  cutAnswerAfter?: number;
  /** Let the server do its work and break the connection instead of answering. */
  loseAnswer?: boolean;
  /** Never answer. */
  stall?: boolean;
  /** Set or replace headers of the answer. */
  answerHeaders?: Record<string, string>;
}

/** Asked for each request, in the order of their coming. */
export type FaultRule = (request: LoggedRequest, index: number) => Fault | undefined;

export interface FaultProxy {
  endpoint: string;
  requests: LoggedRequest[];
  rule: FaultRule | undefined;
  stop(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  const proxy: FaultProxy = { endpoint: '', requests: [], rule: undefined, stop: async () => {} };
  const server = createServer((incoming, answer) => {
    void pass(proxy, target, incoming, answer).catch(() => incoming.socket.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  proxy.stop = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return proxy;
}

async function pass(
  proxy: FaultProxy,
  target: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const body = await bytesOf(incoming);
  const logged: LoggedRequest = {
    method: incoming.method!,
    url: incoming.url!,
    headers: incoming.headers,
    bodySize: body.length,
  };
  const fault = proxy.rule?.(logged, proxy.requests.length) ?? {};
  proxy.requests.push(logged);
  if (fault.stall === true) return;
  if (fault.answer !== undefined) {
    const { status, headers, body: text = '' } = fault.answer;
    answer.writeHead(status, { 'content-length': Buffer.byteLength(text), ...headers });
    answer.end(incoming.method === 'HEAD' ? undefined : text);
    return;
  }
  if (fault.corruptRequest === true && body.length > 0) body[body.length >> 1]! ^= 1;
  const response = await forward(target, incoming, body);
  const bytes = await bytesOf(response);
  if (fault.loseAnswer === true) {
    incoming.socket.destroy();
    return;
  }
  if (fault.corruptAnswer === true && bytes.length > 0) bytes[bytes.length >> 1]! ^= 1;
  const headers = { ...response.headers, ...fault.answerHeaders };
  delete headers.connection;
  delete headers['keep-alive'];
  delete headers['transfer-encoding'];
  if (incoming.method !== 'HEAD') headers['content-length'] = String(bytes.length);
  answer.writeHead(response.statusCode!, headers);
  if (fault.cutAnswerAfter === undefined) {
    answer.end(bytes);
    return;
  }
  answer.write(bytes.subarray(0, fault.cutAnswerAfter), () => incoming.socket.destroy());
}

function forward(target: string, incoming: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  const { hostname, port } = new URL(target);
  const headers = { ...incoming.headers, 'content-length': String(body.length), connection: 'close' };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { hostname, port, path: incoming.url!, method: incoming.method!, headers },
      resolve,
    );
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

async function bytesOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
