import { createHash, createHmac, type Hash } from 'node:crypto';
import { s3Error } from './s3-error.js';
import { type Signed, sameSignature } from './sigv4.js';

/**
 * The framing of `aws-chunked` bodies: "Signature Calculations for the Authorization Header: Transferring Payload in
 * Multiple Chunks (Chunked Upload)" and "... including trailing headers".
 */

const EMPTY_HASH = createHash('sha256').digest('hex');
const MIN_CHUNK = 8192;
const MAX_LINE = 4096;

export interface ChunkedOptions {
  /** Undefined for STREAMING-UNSIGNED-PAYLOAD-TRAILER. */
  signed: Signed | undefined;
  /** Names of the trailers that were announced in `x-amz-trailer`. */
  trailers: readonly string[];
  onData: (bytes: Buffer) => void;
}

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

export class ChunkedDecoder {
  readonly trailers = new Map<string, string>();
  private state: State = 'size';
  private line: Buffer = Buffer.alloc(0);
  private left = 0;
  private lastSize = Number.POSITIVE_INFINITY;
  private chunkHash: Hash | undefined;
  private chunkSignature = '';
  private previousSignature: string;
  private trailerText = '';

  constructor(private readonly options: ChunkedOptions) {
    this.previousSignature = options.signed?.signature ?? '';
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.state === 'data') {
        const piece = bytes.subarray(at, at + this.left);
        this.chunkHash?.update(piece);
        this.options.onData(piece);
        this.left -= piece.length;
        at += piece.length;
        if (this.left === 0) this.state = 'data-end';
        continue;
      }
      if (this.state === 'done') throw malformed('bytes after the end');
      const end = bytes.indexOf(10, at);
      const piece = bytes.subarray(at, end < 0 ? undefined : end + 1);
      this.line = this.line.length === 0 ? piece : Buffer.concat([this.line, piece]);
      if (this.line.length > MAX_LINE) throw malformed('a line is too long');
      at += piece.length;
      if (end < 0) {
        this.line = Buffer.from(this.line);
        return;
      }
      const text = this.line.toString('latin1');
      this.line = Buffer.alloc(0);
      if (!text.endsWith('\r\n')) throw malformed('a line does not end in CR LF');
      this.onLine(text.slice(0, -2));
    }
  }

  /** To be called when the body has ended. */
  end(): void {
    if (this.state !== 'done')
      throw s3Error('IncompleteBody', { message: 'The request body terminated unexpectedly' });
  }

  private onLine(line: string): void {
    if (this.state === 'size') this.onSize(line);
    else if (this.state === 'data-end') {
      if (line !== '') throw malformed('a chunk is longer than it says');
      this.checkChunk();
      this.state = 'size';
    } else if (line === '') this.onEnd();
    else this.onTrailer(line);
  }

  private onSize(line: string): void {
    const { signed } = this.options;
    const match = (signed ? /^([0-9a-fA-F]+);chunk-signature=([0-9a-f]{64})$/ : /^([0-9a-fA-F]+)$/).exec(
      line,
    );
    if (match === null) throw malformed('a chunk header is not understood');
    this.left = Number.parseInt(match[1] as string, 16);
    this.chunkSignature = match[2] ?? '';
    if (signed) this.chunkHash = createHash('sha256');
    if (this.left > 0) {
      if (this.lastSize < MIN_CHUNK)
        throw s3Error('InvalidChunkSizeError', { details: { BadChunkSize: this.lastSize } });
      this.lastSize = this.left;
      this.state = 'data';
      return;
    }
    this.checkChunk();
    // Without trailers one empty line ends the body; with them, lines come first.
    this.state = 'trailer';
  }

  private checkChunk(): void {
    const { signed } = this.options;
    if (signed === undefined || this.chunkHash === undefined) return;
    const hash = this.chunkHash.digest('hex');
    this.chunkHash = undefined;
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${signed.date}\n${signed.scope}\n${this.previousSignature}\n${EMPTY_HASH}\n${hash}`;
    this.checkSignature(text, this.chunkSignature, signed);
  }

  private checkSignature(text: string, given: string, signed: Signed): void {
    const expected = createHmac('sha256', signed.signingKey).update(text).digest('hex');
    if (!sameSignature(expected, given)) throw s3Error('SignatureDoesNotMatch');
    this.previousSignature = expected;
  }

  private onTrailer(line: string): void {
    const colon = line.indexOf(':');
    if (colon < 1) throw s3Error('MalformedTrailerError');
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'x-amz-trailer-signature') {
      if (this.options.signed === undefined) throw s3Error('MalformedTrailerError');
      this.checkTrailerSignature(value, this.options.signed);
      return;
    }
    if (!this.options.trailers.includes(name) || this.trailers.has(name))
      throw s3Error('MalformedTrailerError');
    this.trailers.set(name, value);
    this.trailerText += `${name}:${value}\n`;
  }

  private trailerSigned = false;

  private checkTrailerSignature(given: string, signed: Signed): void {
    const hash = createHash('sha256').update(this.trailerText).digest('hex');
    const text = `AWS4-HMAC-SHA256-TRAILER\n${signed.date}\n${signed.scope}\n${this.previousSignature}\n${hash}`;
    this.checkSignature(text, given, signed);
    this.trailerSigned = true;
  }

  private onEnd(): void {
    const { signed, trailers } = this.options;
    if (this.trailers.size !== trailers.length) throw s3Error('MalformedTrailerError');
    if (signed !== undefined && trailers.length > 0 && !this.trailerSigned)
      throw s3Error('MalformedTrailerError');
    this.state = 'done';
  }
}

function malformed(why: string) {
  return s3Error('IncompleteBody', { message: `The aws-chunked body is malformed: ${why}` });
}
