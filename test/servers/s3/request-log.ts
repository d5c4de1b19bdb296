/** One request as it ended. */
export interface LoggedRequest {
  method: string;
  /** As the API reference calls it; 'Unknown' where it could not be told. */
  operation: string;
  bucket: string;
  key: string;
  /** Who signed it; '' where that could not be told. */
  accessKeyId: string;
  /** Its Range header; '' where it has none. */
  range: string;
  /** When its head had come, ms since the epoch by the server's clock. */
  receivedAt: number;
  /** 0 where the connection broke before an answer. */
  status: number;
  /** Code of the error document. */
  errorCode: string | undefined;
  /** Bytes of the request's body over the wire. */
  bodyBytes: number;
  query: Record<string, string>;
}

/** What was asked of the server. */
export class RequestLog {
  /** Number of requests by operation; those that failed count too. */
  counts: Record<string, number> = {};
  /** The latest requests, oldest first. */
  log: LoggedRequest[] = [];
  /** Bytes of all requests' bodies. */
  bodyBytes = 0;

  constructor(private readonly limit: number) {}

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  add(entry: LoggedRequest): void {
    this.counts[entry.operation] = (this.counts[entry.operation] ?? 0) + 1;
    this.bodyBytes += entry.bodyBytes;
    if (this.limit === 0) return;
    this.log.push(entry);
    if (this.log.length >= 2 * this.limit) this.log.splice(0, this.limit);
  }

  reset(): void {
    this.counts = {};
    this.log = [];
    this.bodyBytes = 0;
  }
}
