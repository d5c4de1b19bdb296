/** What goes wrong on purpose. */

/** Kinds of requests, by the methods of the API reference. */
export type RequestKind =
  | 'token'
  | 'buckets.list'
  | 'buckets.insert'
  | 'buckets.get'
  | 'buckets.patch'
  | 'objects.list'
  | 'objects.get'
  | 'objects.download'
  | 'objects.insert'
  | 'objects.patch'
  | 'objects.delete'
  | 'objects.rewrite'
  | 'objects.compose'
  | 'session.start'
  | 'session.put'
  | 'session.status'
  | 'session.cancel'
  | 'batch'
  | 'unknown';

export type FaultAction =
  /** Waits before anything is done. */
  | { type: 'delay'; ms: number }
  /** Answers with an error instead of doing anything. `retryAfter` in seconds. */
  | { type: 'error'; status: number; reason?: string; message?: string; retryAfter?: number; body?: string }
  /** Does what was asked and breaks the connection instead of answering. */
  | { type: 'drop-answer' }
  /** Breaks the connection once that many bytes of the request's body came. */
  | { type: 'cut-request'; afterBytes: number }
  /** Breaks the connection after that many bytes of the answer's body. */
  | { type: 'cut-answer'; afterBytes: number }
  /** Flips a bit of the received content. */
  | { type: 'corrupt-request'; offset: number }
  /** Flips a bit of the answer's content. */
  | { type: 'corrupt-answer'; offset: number }
  /** Of what an upload session is sent, only so many bytes are kept (rounded down to 256 KiB). */
  | { type: 'keep-less'; bytes: number }
  /** Changes an answer in any other way. */
  | {
      type: 'edit-answer';
      edit: (answer: { status: number; headers: Record<string, unknown>; body: Buffer }) => void;
    };

export interface Fault {
  kind?: RequestKind | readonly RequestKind[];
  key?: string;
  /** How often; default always. */
  times?: number;
  /** Lets so many matching requests pass first. */
  skip?: number;
  action: FaultAction;
}

/** The faults of a server. */
export class Faults {
  #active: { fault: Fault; seen: number; hits: number }[] = [];

  add(fault: Fault): void {
    this.#active.push({ fault, seen: 0, hits: 0 });
  }

  clear(): void {
    this.#active = [];
  }

  /** Those that strike a request. */
  strike(kind: RequestKind, key: string | undefined): FaultAction[] {
    const actions: FaultAction[] = [];
    for (const entry of this.#active) {
      const { fault } = entry;
      const kinds = fault.kind === undefined || typeof fault.kind === 'string' ? fault.kind : undefined;
      if (kinds !== undefined && kinds !== kind) continue;
      if (Array.isArray(fault.kind) && !fault.kind.includes(kind)) continue;
      if (fault.key !== undefined && fault.key !== key) continue;
      entry.seen += 1;
      if (entry.seen <= (fault.skip ?? 0) || entry.hits >= (fault.times ?? Number.POSITIVE_INFINITY))
        continue;
      entry.hits += 1;
      actions.push(fault.action);
    }
    return actions;
  }
}

type ActionOf<T extends FaultAction['type']> = Extract<FaultAction, { type: T }>;

export function findAction<T extends FaultAction['type']>(
  actions: readonly FaultAction[],
  type: T,
): ActionOf<T> | undefined {
  return actions.find((action): action is ActionOf<T> => action.type === type);
}

/** `bytes` with the bit at `offset` flipped, if it is among them. */
export function flipBit(bytes: Buffer, offset: number | undefined): Buffer {
  if (offset === undefined || offset < 0 || offset >= bytes.length) return bytes;
  const flipped = Buffer.from(bytes);
  flipped[offset] = flipped[offset]! ^ 1;
  return flipped;
}
