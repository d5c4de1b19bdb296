/** A request and its answer, as the client takes and gives them. */

export interface HttpRequest {
  method: string;
  /** `https://host:port`, no path. */
  origin: string;
  /** Path and query, encoded: goes out exactly as it is. */
  path: string;
  /** Name, value, name, value ..., `host` among them; values that aren't Latin-1 have to be encoded by the caller. */
  headers: string[];
  /** A function is called once and has to give as many bytes as `content-length` among `headers` says. */
  body?: Uint8Array | (() => AsyncIterable<Uint8Array>);
  /**
   * Answer as soon as the headers of a success are there, and read the body as `stream`. A small body is waited for all the
   * same: see {@link HttpResponse.isWhole}.
   */
  stream?: boolean;
  /** Instead of the client's, for requests on which a server thinks for long. ms. */
  silenceMs?: number;
  /** It changes what is stored: sent only with the consent of the client's guard. */
  changes?: boolean;
  signal?: AbortSignal;
}

export interface HttpResponse {
  status: number;
  /** Names in lower case; of a name that came twice the last. */
  headers: Record<string, string>;
  /** Whether `bytes` is the whole body; else it was asked for as a stream, and comes. */
  isWhole: boolean;
  bytes: Buffer;
  /** The body that was asked for as a stream; has to be read to its end, left (a `break`) or given up by `discard`. */
  stream: AsyncGenerator<Uint8Array>;
  /** Ends the connection if the body isn't read yet. */
  discard(): void;
}
