/** What can go wrong between Dropbox and us, on purpose. */

import { type Refusal, rateLimitError, refusedBecause } from './api-error.js';

export type FaultAction =
  /** Waits before anything is done. */
  | { type: 'delay'; ms: number }
  /** An answer of another making instead of the route's; 5xx come from in front of the API, as HTML or text. */
  | { type: 'status'; status: number; body?: string; headers?: Record<string, string> }
  /** 409 with these tags (`path/restricted_content`) instead of doing anything. */
  | { type: 'refuse'; tags: string }
  | { type: 'rate-limit'; reason: 'too_many_requests' | 'too_many_write_operations'; seconds: number }
  /** Breaks the connection before anything is done. */
  | { type: 'cut-request' }
  /** Does its work and breaks the connection instead of answering. */
  | { type: 'lose-answer' }
  /** Breaks the connection after so many bytes of the answer's body. */
  | { type: 'cut-answer'; afterBytes: number }
  /** Flips a bit in the middle of the body that was received, before anything is checked. */
  | { type: 'corrupt-request' }
  /** Flips a bit in the middle of the answer's body. */
  | { type: 'corrupt-answer' }
  /** Never answers. */
  | { type: 'stall' };

export interface Fault {
  /** Route or routes it strikes; default all. */
  route?: string | readonly string[];
  /** Looks at the arguments. */
  match?: (argument: unknown) => boolean;
  /** How often; default always. */
  times?: number;
  /** So many pass first. */
  skip?: number;
  action: FaultAction;
}

export class Faults {
  private readonly active = new Set<{ fault: Fault; seen: number; hits: number }>();

  /** Puts a fault in place; gives a function that tells how often it struck. */
  add(fault: Fault): () => number {
    const entry = { fault, seen: 0, hits: 0 };
    this.active.add(entry);
    return () => entry.hits;
  }

  clear(): void {
    this.active.clear();
  }

  /** What strikes this call. */
  strike(route: string, argument: unknown): FaultAction[] {
    const struck: FaultAction[] = [];
    for (const entry of this.active) {
      const { fault } = entry;
      const isMeant =
        fault.route === undefined ||
        (typeof fault.route === 'string' ? fault.route === route : fault.route.includes(route));
      if (!isMeant || (fault.match !== undefined && !fault.match(argument))) continue;
      if (entry.seen++ < (fault.skip ?? 0)) continue;
      if (entry.hits >= (fault.times ?? Number.POSITIVE_INFINITY)) continue;
      entry.hits++;
      struck.push(fault.action);
    }
    return struck;
  }
}

/** The refusal that a fault stands for, if it is one. */
export function refusalOf(action: FaultAction): Refusal | undefined {
  if (action.type === 'refuse') return refusedBecause(action.tags);
  if (action.type === 'rate-limit') return rateLimitError(action.reason, action.seconds);
  return undefined;
}
