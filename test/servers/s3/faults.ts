import type { Answer } from './answer.js';
import type { ListPage } from './listing.js';
import type { Operation } from './operations.js';
import type { S3Request } from './request.js';
import { S3Error } from './s3-error.js';

/** What goes wrong. Offsets and bytes count the object's body (decoded), unless said otherwise. */
export type FaultAction =
  /** Waits before anything is done. */
  | { type: 'delay'; ms: number }
  /** Answers with an error instead of doing anything. `retryAfter` in seconds. */
  | { type: 'error'; code: string; status?: number; message?: string; retryAfter?: number }
  /** Breaks the connection (RST) once that many bytes of the request's body came over the wire; 0: at once. */
  | { type: 'reset-request'; afterBytes: number }
  /** Breaks the connection (RST) after that many bytes of the answer's body. */
  | { type: 'reset-response'; afterBytes: number }
  /** Does what was asked and breaks the connection instead of answering. */
  | { type: 'drop-answer' }
  /** Stops reading after that many bytes, for `ms` or for ever. */
  | { type: 'stall-request'; afterBytes: number; ms?: number }
  /** Stops sending after that many bytes, for `ms` or for ever. */
  | { type: 'stall-response'; afterBytes: number; ms?: number }
  /** Sends this share (0 to 1) of the answer's body, then closes properly (FIN). */
  | { type: 'truncate-response'; fraction: number }
  /** Flips a bit of the received body, before anything is checked but the signature of chunks. */
  | { type: 'corrupt-request'; offset: number }
  /** Flips a bit of the answer's body. */
  | { type: 'corrupt-response'; offset: number }
  /** Another ETag in the answer than the object's. */
  | { type: 'wrong-etag' }
  /** Changes the pages of listings. */
  | { type: 'list'; change: (page: ListPage) => void }
  /** The page before comes once more instead of the one asked for. */
  | { type: 'repeat-list-page' }
  /**
   * An error document inside a 200: for CompleteMultipartUpload, CopyObject and UploadPartCopy instead of doing anything,
   * for DeleteObjects per key (those `keys` says, default all).
   */
  | { type: 'error-in-ok'; code: string; message?: string; keys?: (key: string) => boolean }
  /** If-Match and If-None-Match of writes are ignored, as some compatible servers do. */
  | { type: 'ignore-conditions' }
  /** aws-chunked bodies are refused with 411, as some compatible servers do. */
  | { type: 'refuse-chunked' }
  /** The connection is cut after `ms`, however far the request got. */
  | { type: 'cut'; ms: number }
  /** Anything else that can be done to an answer. */
  | { type: 'edit-answer'; edit: (answer: Answer) => void };

export interface Fault {
  /** Which requests; all of these have to hold. */
  operation?: Operation | readonly Operation[];
  key?: string;
  match?: (request: S3Request) => boolean;
  /** How often; default always. */
  times?: number;
  /** Lets so many matching requests pass first. */
  skip?: number;
  /** Share of the matching requests it strikes (0 to 1), by `random`. */
  probability?: number;
  /** Default Math.random; give a seeded one to be able to repeat a run. */
  random?: () => number;
  action: FaultAction;
}

/** A fault in place. */
export class ActiveFault {
  /** How often it struck. */
  hits = 0;
  private seen = 0;

  constructor(
    readonly fault: Fault,
    /** Takes it away. */
    readonly remove: () => void,
  ) {}

  strikes(request: S3Request): boolean {
    const { operation, key, match, times, skip = 0, probability, random = Math.random } = this.fault;
    if (times !== undefined && this.hits >= times) return false;
    if (typeof operation === 'string' && operation !== request.operation) return false;
    if (typeof operation === 'object' && !operation.includes(request.operation as Operation)) return false;
    if (key !== undefined && key !== request.key) return false;
    if (match !== undefined && !match(request)) return false;
    if (this.seen++ < skip) return false;
    if (probability !== undefined && random() >= probability) return false;
    this.hits++;
    return true;
  }
}

/** The faults of a server. */
export class Faults {
  private active: ActiveFault[] = [];

  add(fault: Fault): ActiveFault {
    const added: ActiveFault = new ActiveFault(fault, () => {
      this.active = this.active.filter((other) => other !== added);
    });
    this.active.push(added);
    return added;
  }

  clear(): void {
    this.active = [];
  }

  /** Those that strike `request`. */
  strike(request: S3Request): RequestFaults {
    if (this.active.length === 0) return NO_FAULTS;
    return new RequestFaults(
      this.active.filter((fault) => fault.strikes(request)).map(({ fault }) => fault.action),
    );
  }
}

type ActionOf<T extends FaultAction['type']> = Extract<FaultAction, { type: T }>;

/** The faults of one request. */
export class RequestFaults {
  constructor(private readonly actions: readonly FaultAction[]) {}

  find<T extends FaultAction['type']>(type: T): ActionOf<T> | undefined {
    return this.actions.find((action): action is ActionOf<T> => action.type === type);
  }

  has(type: FaultAction['type']): boolean {
    return this.find(type) !== undefined;
  }

  get delayMs(): number {
    return this.find('delay')?.ms ?? 0;
  }

  throwError(): void {
    const error = this.find('error');
    if (error === undefined) return;
    throw new S3Error(error.code, {
      ...(error.status === undefined ? {} : { status: error.status }),
      ...(error.message === undefined ? {} : { message: error.message }),
      ...(error.retryAfter === undefined ? {} : { headers: { 'retry-after': String(error.retryAfter) } }),
    });
  }

  bodyProgress(received: number): 'go on' | 'break' {
    const reset = this.find('reset-request');
    return reset !== undefined && received >= reset.afterBytes ? 'break' : 'go on';
  }

  private stalled = false;

  /** ms to stop reading. */
  stallOf(received: number): number {
    const stall = this.find('stall-request');
    if (stall === undefined || this.stalled || received < stall.afterBytes) return 0;
    this.stalled = true;
    return stall.ms ?? Number.POSITIVE_INFINITY;
  }

  corruptReceived(bytes: Buffer, offset: number): Buffer {
    return flip(bytes, offset, this.find('corrupt-request')?.offset);
  }

  corruptSent(bytes: Buffer, offset: number): Buffer {
    return flip(bytes, offset, this.find('corrupt-response')?.offset);
  }

  changeList(page: ListPage): void {
    for (const action of this.actions) if (action.type === 'list') action.change(page);
  }

  editAnswer(answer: Answer): void {
    for (const action of this.actions) {
      if (action.type === 'edit-answer') action.edit(answer);
      if (action.type !== 'wrong-etag') continue;
      const wrong = '0123456789abcdef0123456789abcdef';
      if (answer.headers.etag !== undefined) answer.headers.etag = `"${wrong}"`;
      answer.body = answer.body?.replaceAll(/<ETag>[^<]*<\/ETag>/g, `<ETag>&quot;${wrong}&quot;</ETag>`);
    }
  }
}

const NO_FAULTS = new RequestFaults([]);

function flip(bytes: Buffer, offset: number, at: number | undefined): Buffer {
  if (at === undefined || at < offset || at >= offset + bytes.length) return bytes;
  const flipped = Buffer.from(bytes);
  flipped[at - offset] = (flipped[at - offset] as number) ^ 1;
  return flipped;
}
