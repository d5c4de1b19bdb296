/** A proxy in front of an HTTP server on loopback that logs requests and, where a rule says so, does them harm. */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface LoggedRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingMessage['headers'];
  /** As announced, until it has come. */
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
  /** Break the connection (RST) when so many bytes of the request's body have come; 0: at once. */
  cutRequestAfter?: number;
  /** Break the connection after so many bytes of the answer's body. */
  cutAnswerAfter?: number;
  /** Fall silent after so many bytes of the answer's body. */
  stallAnswerAfter?: number;
  /** Another body than the server's. */
  editAnswer?: (body: Buffer) => Buffer | string;
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
  /** Connections are refused from now on, the open ones are broken. */
  refuseConnections(): Promise<void>;
  /** Listens again, on the same port. */
  acceptConnections(): Promise<void>;
  stop(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((incoming, answer) => {
    void pass(proxy, target, incoming, answer).catch(() => incoming.socket.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    requests: [],
    rule: undefined,
    refuseConnections: close,
    acceptConnections: () => listen(port),
    stop: close,
  };
  return proxy;
}

async function pass(
  proxy: FaultProxy,
  target: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const logged: LoggedRequest = {
    method: incoming.method!,
    url: incoming.url!,
    headers: incoming.headers,
    bodySize: Number(incoming.headers['content-length'] ?? 0),
  };
  const fault = proxy.rule?.(logged, proxy.requests.length) ?? {};
  proxy.requests.push(logged);
  if (fault.cutRequestAfter !== undefined) {
    await readBytes(incoming, fault.cutRequestAfter);
    incoming.socket.resetAndDestroy();
    return;
  }
  const body = await bytesOf(incoming);
  logged.bodySize = body.length;
  if (fault.stall === true) return;
  if (fault.answer !== undefined) {
    const { status, headers, body: text = '' } = fault.answer;
    answer.writeHead(status, { 'content-length': Buffer.byteLength(text), ...headers });
    answer.end(incoming.method === 'HEAD' ? undefined : text);
    return;
  }
  if (fault.corruptRequest === true && body.length > 0) body[body.length >> 1]! ^= 1;
  const response = await forward(target, incoming, body);
  const received = await bytesOf(response);
  if (fault.loseAnswer === true) {
    incoming.socket.destroy();
    return;
  }
  const bytes = fault.editAnswer === undefined ? received : Buffer.from(fault.editAnswer(received));
  if (fault.corruptAnswer === true && bytes.length > 0) bytes[bytes.length >> 1]! ^= 1;
  answer.writeHead(response.statusCode!, answerHeaders(proxy, target, incoming, response, bytes, fault));
  const end = fault.cutAnswerAfter ?? fault.stallAnswerAfter;
  if (end === undefined) answer.end(bytes);
  else {
    answer.write(bytes.subarray(0, end), () => {
      if (fault.cutAnswerAfter !== undefined) incoming.socket.destroy();
    });
  }
}

function answerHeaders(
  proxy: FaultProxy,
  target: string,
  incoming: IncomingMessage,
  response: IncomingMessage,
  bytes: Buffer,
  fault: Fault,
) {
  const headers = { ...response.headers, ...fault.answerHeaders };
  delete headers.connection;
  delete headers['keep-alive'];
  delete headers['transfer-encoding'];
  if (incoming.method !== 'HEAD') headers['content-length'] = String(bytes.length);
  // A resumable address leads back here.
  if (headers.location !== undefined) headers.location = headers.location.replace(target, proxy.endpoint);
  return headers;
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

/** Reads on until `count` bytes have come, or all. */
function readBytes(stream: IncomingMessage, count: number): Promise<void> {
  return new Promise((resolve) => {
    if (count === 0) resolve();
    let size = 0;
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size >= count) resolve();
    });
    stream.once('end', resolve);
  });
}
