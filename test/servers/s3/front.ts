import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './answer.js';
import { ConnectionGone, readContent } from './blobs.js';
import { announcesBody, type ReceivedBody, receiveBody } from './body.js';
import type { Context, ServerState } from './context.js';
import type { Credential } from './credentials.js';
import type { Faults, RequestFaults } from './faults.js';
import { HANDLERS } from './handlers.js';
import type { Network } from './network.js';
import { identifyOperation, OPERATIONS, type Operation, refuseUnknown } from './operations.js';
import { parseTarget, type S3Request } from './request.js';
import type { RequestLog } from './request-log.js';
import { S3Error, s3Error } from './s3-error.js';
import { type Signed, verifySignature } from './sigv4.js';
import { MAX_PUT } from './write.js';
import { element, XML_HEAD } from './xml.js';

const MAX_KEY_BYTES = 1024;
const MAX_DOCUMENT = 8 * 1024 * 1024;
/** Up to here an unwanted body is read before its refusal is sent, so that the client gets to see the answer. */
const MAX_DRAIN = 256 * 1024 * 1024;

export interface FrontParts {
  state: ServerState;
  faults: Faults;
  network: Network;
  credentials: ReadonlyMap<string, Credential>;
  requests: RequestLog;
  domain: string;
}

/** From a request on the wire to an answer on the wire. */
export class Front {
  private nextId = 1;

  constructor(private readonly parts: FrontParts) {}

  /** `needsContinue`: the client waits for a 100 before it sends the body. */
  handle(incoming: IncomingMessage, response: ServerResponse, needsContinue: boolean): void {
    this.serve(incoming, response, needsContinue).catch((error: unknown) => {
      if (!(error instanceof ConnectionGone)) console.error('S3 test server failed:', error);
      incoming.socket.destroy();
    });
  }

  private async serve(
    incoming: IncomingMessage,
    response: ServerResponse,
    needsContinue: boolean,
  ): Promise<void> {
    const { state, network, requests } = this.parts;
    const receivedAt = state.clock.now();
    const id = (this.nextId++).toString(16).toUpperCase().padStart(16, '0');
    const exchange = new Exchange(incoming, response, needsContinue, network);
    incoming.socket.setTimeout(network.idleTimeoutMs);
    let request: S3Request | undefined;
    let errorCode: string | undefined;
    let status = 0;
    try {
      let answer: Answer;
      try {
        request = this.parse(incoming, id);
        request.operation = identifyOperation(request);
        exchange.faults = this.parts.faults.strike(request);
        answer = await this.answer(request, exchange);
      } catch (error) {
        if (error instanceof ConnectionGone) throw error;
        const known = error instanceof S3Error ? error : s3Error('InternalError', { message: String(error) });
        if (known !== error) console.error('S3 test server failed:', error);
        errorCode = known.code;
        answer = errorAnswer(known, request, id);
      }
      await exchange.drain();
      exchange.faults?.editAnswer(answer);
      if (exchange.faults?.has('drop-answer')) {
        answer.content?.release();
        incoming.socket.resetAndDestroy();
        return;
      }
      const headers = {
        'x-amz-request-id': id,
        'x-amz-id-2': `${id}test`,
        date: state.clock.httpDate(),
        server: 'AmazonS3',
      };
      await exchange.send(answer, headers, () => {
        status = answer.status;
      });
    } finally {
      exchange.end();
      requests.add({
        method: incoming.method ?? '',
        operation: request?.operation ?? 'Unknown',
        bucket: request?.bucket ?? '',
        key: request?.key ?? '',
        accessKeyId: request?.credential?.accessKeyId ?? '',
        range: incoming.headers.range ?? '',
        receivedAt,
        status,
        errorCode,
        bodyBytes: request?.bodyBytes ?? 0,
        query: Object.fromEntries(request?.query ?? []),
      });
    }
  }

  private parse(incoming: IncomingMessage, id: string): S3Request {
    const target = parseTarget(incoming.url ?? '', incoming.headers.host ?? '', this.parts.domain);
    return {
      id,
      method: incoming.method ?? '',
      operation: 'Unknown',
      ...target,
      incoming,
      receivedAt: this.parts.state.clock.now(),
      credential: undefined,
      bodyBytes: 0,
    };
  }

  private async answer(request: S3Request, exchange: Exchange): Promise<Answer> {
    const { state, network } = this.parts;
    const faults = exchange.faults as RequestFaults;
    const operation = request.operation as Operation;
    const cut = faults.find('cut');
    if (cut !== undefined) exchange.cutAfter(cut.ms);
    const delay = network.latencyMs + faults.delayMs;
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    if (faults.find('reset-request')?.afterBytes === 0) {
      request.incoming.socket.resetAndDestroy();
      throw new ConnectionGone();
    }
    faults.throwError();
    const signed = this.authenticate(request);
    if (faults.has('refuse-chunked') && signed.payload.startsWith('STREAMING-'))
      throw s3Error('MissingContentLength');
    refuseUnknown(request, operation);
    const keyBytes = Buffer.byteLength(request.key);
    if (keyBytes > MAX_KEY_BYTES) {
      throw s3Error('KeyTooLongError', { details: { Size: keyBytes, MaxSizeAllowed: MAX_KEY_BYTES } });
    }
    const body = await this.body(request, signed, exchange);
    try {
      const inOk = faults.find('error-in-ok');
      if (inOk !== undefined && operation !== 'DeleteObjects') {
        const error = new S3Error(inOk.code, {
          status: 200,
          ...(inOk.message === undefined ? {} : { message: inOk.message }),
        });
        return errorAnswer(error, request, request.id);
      }
      const context: Context = { state, request, faults, body };
      return HANDLERS[operation](context);
    } finally {
      body?.blob.release();
    }
  }

  private authenticate(request: S3Request): Signed {
    const { state, credentials } = this.parts;
    const region = state.buckets.get(request.bucket)?.region ?? state.region;
    const signed = verifySignature(request, { credentials, region, now: request.receivedAt });
    request.credential = signed.credential;
    if (signed.credential.allows?.(request) === false) {
      throw s3Error('AccessDenied', {
        message: `User ${signed.credential.accessKeyId} is not authorized to perform: s3:${request.operation}`,
      });
    }
    return signed;
  }

  private async body(
    request: S3Request,
    signed: Signed,
    exchange: Exchange,
  ): Promise<ReceivedBody | undefined> {
    const { body: kind } = OPERATIONS[request.operation as Operation];
    if (kind === 'none') {
      if (announcesBody(request)) throw s3Error('UnexpectedContent');
      return undefined;
    }
    const maxSize = kind === 'object' ? MAX_PUT : MAX_DOCUMENT;
    return receiveBody(request, signed, {
      blobs: this.parts.state.blobs,
      network: this.parts.network,
      faults: exchange.faults as RequestFaults,
      maxSize,
      onStart: () => exchange.wantBody(),
    });
  }
}

function errorAnswer(error: S3Error, request: S3Request | undefined, id: string): Answer {
  const details = Object.entries(error.details).map(([name, value]) => element(name, value));
  const resource =
    request === undefined ? '' : `/${request.bucket}${request.key === '' ? '' : `/${request.key}`}`;
  return {
    status: error.status,
    headers: { 'content-type': 'application/xml', ...error.headers },
    body: `${XML_HEAD}<Error>${element('Code', error.code)}${element('Message', error.message)}${details.join('')}${element('Resource', resource)}${element('RequestId', id)}<HostId>${id}test</HostId></Error>`,
  };
}

/** One request and its answer on the wire, with what the network does to them. */
class Exchange {
  faults: RequestFaults | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private waitsForContinue: boolean;

  constructor(
    private readonly incoming: IncomingMessage,
    private readonly response: ServerResponse,
    needsContinue: boolean,
    private readonly network: Network,
  ) {
    this.waitsForContinue = needsContinue;
    if (network.maxRequestMs > 0) this.cutAfter(network.maxRequestMs);
  }

  cutAfter(ms: number): void {
    this.timers.push(setTimeout(() => this.incoming.socket.destroy(), ms).unref());
  }

  end(): void {
    for (const timer of this.timers) clearTimeout(timer);
  }

  wantBody(): void {
    if (this.waitsForContinue) this.response.writeContinue();
    this.waitsForContinue = false;
  }

  /** Lets the rest of the request go by, so that the connection can be used again. */
  async drain(): Promise<void> {
    const { incoming } = this;
    if (incoming.complete) return;
    const length = Number(incoming.headers['content-length'] ?? 0);
    if (this.waitsForContinue || length > MAX_DRAIN) {
      this.response.shouldKeepAlive = false;
      return;
    }
    incoming.resume();
    if (incoming.readableEnded) return;
    await new Promise<void>((resolve, reject) => {
      incoming.once('end', resolve);
      incoming.once('close', () => (incoming.complete ? resolve() : reject(new ConnectionGone())));
    });
  }

  async send(answer: Answer, common: Record<string, string>, onHead: () => void): Promise<void> {
    const { response, incoming } = this;
    const headers: Record<string, string> = { ...common, ...answer.headers };
    const isHead = incoming.method === 'HEAD';
    const body = answer.body === undefined ? undefined : Buffer.from(answer.body);
    const length = answer.content?.length ?? body?.length ?? 0;
    if (answer.status !== 204 && answer.status !== 304 && !(isHead && body !== undefined)) {
      headers['content-length'] = String(length);
    }
    // Said here, so that Node adds no Keep-Alive header: S3 doesn't say when it will close either.
    headers.connection = response.shouldKeepAlive ? 'keep-alive' : 'close';
    response.writeHead(answer.status, headers);
    onHead();
    try {
      if (isHead || length === 0) response.end();
      else if (body !== undefined && !this.faultsBody()) response.end(body);
      else await this.sendPieces(answer, body, length);
    } finally {
      answer.content?.release();
    }
  }

  private faultsBody(): boolean {
    return this.network.bandwidth > 0 || this.faults !== undefined;
  }

  private async sendPieces(answer: Answer, body: Buffer | undefined, length: number): Promise<void> {
    const { faults, response } = this;
    const truncate = faults?.find('truncate-response');
    const end = truncate === undefined ? length : Math.floor(length * truncate.fraction);
    const reset = faults?.find('reset-response')?.afterBytes;
    const stall = faults?.find('stall-response');
    const stopAt = Math.min(end, reset ?? end);
    let sent = 0;
    const pieces =
      body === undefined && answer.content
        ? readContent(answer.content.content, answer.content.offset, answer.content.length)
        : [body as Buffer];
    for (const piece of pieces) {
      if (sent >= stopAt) break;
      let bytes = faults?.corruptSent(piece, sent) ?? piece;
      bytes = bytes.subarray(0, stopAt - sent);
      if (stall !== undefined && sent + bytes.length > stall.afterBytes && sent <= stall.afterBytes) {
        const before = stall.afterBytes - sent;
        if (!(await this.write(bytes.subarray(0, before)))) return;
        if (!(await this.pause(stall.ms))) return;
        bytes = bytes.subarray(before);
        sent += before;
      }
      if (!(await this.write(bytes))) return;
      sent += bytes.length;
    }
    if (reset !== undefined && sent >= reset && reset < length) {
      await this.flushed();
      response.socket?.resetAndDestroy();
    } else if (sent < length) {
      await this.flushed();
      response.socket?.end();
    } else response.end();
  }

  /** False where the client has gone. */
  private async write(bytes: Buffer): Promise<boolean> {
    const { response } = this;
    if (response.destroyed || response.socket === null) return false;
    const wait = this.network.takeBandwidth(bytes.length);
    if (wait > 0) await this.pause(wait);
    const goesOn = bytes.length === 0 || response.write(bytes);
    if (!goesOn) await this.eventOr('drain');
    return !response.destroyed && response.socket !== null;
  }

  private async pause(ms = Number.POSITIVE_INFINITY): Promise<boolean> {
    if (ms === Number.POSITIVE_INFINITY) await this.eventOr('close');
    else await new Promise((resolve) => setTimeout(resolve, ms));
    return !this.response.destroyed && this.response.socket !== null;
  }

  /** What was written has left this process. */
  private async flushed(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { socket } = this.response;
      if (socket === null || socket.destroyed) resolve();
      else socket.write('', () => setTimeout(resolve, 5));
    });
  }

  private async eventOr(event: 'drain' | 'close'): Promise<void> {
    const { response } = this;
    if (response.destroyed || response.socket === null) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        response.off(event, done);
        response.off('close', done);
        resolve();
      };
      response.on(event, done);
      response.on('close', done);
    });
  }
}
