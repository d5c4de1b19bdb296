import type { RequestKind } from './faults.js';

export interface LoggedRequest {
  kind: RequestKind;
  key: string | undefined;
  /** 0 where the connection broke before an answer. */
  status: number;
  /** Bytes of the request's body. */
  bodyBytes: number;
  /** With `?`, encoded. */
  query: string;
}

/** What was asked of the server. */
export class RequestLog {
  /** Number of requests by kind; those that failed count too. */
  counts: Partial<Record<RequestKind, number>> = {};
  /** Calls inside batches by kind. */
  innerCounts: Partial<Record<RequestKind, number>> = {};
  /** The latest requests, oldest first. */
  log: LoggedRequest[] = [];
  /** Bytes of all requests' bodies. */
  bodyBytes = 0;

  add(request: LoggedRequest): void {
    this.counts[request.kind] = (this.counts[request.kind] ?? 0) + 1;
    this.bodyBytes += request.bodyBytes;
    this.log.push(request);
    if (this.log.length > 50_000) this.log.splice(0, 25_000);
  }

  countInner(kind: RequestKind): void {
    this.innerCounts[kind] = (this.innerCounts[kind] ?? 0) + 1;
  }

  reset(): void {
    this.counts = {};
    this.innerCounts = {};
    this.log = [];
    this.bodyBytes = 0;
  }
}
