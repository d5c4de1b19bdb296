import { createHash, type Hash } from 'node:crypto';
import { ChunkedDecoder } from './aws-chunked.js';
import { type Blob, type BlobFolder, type BlobWriter, ConnectionGone } from './blobs.js';
import {
  CHECKSUM_LENGTHS,
  type ChecksumAlgorithm,
  createDigest,
  type Digest,
  isChecksumAlgorithm,
} from './checksums.js';
import type { RequestFaults } from './faults.js';
import type { Network } from './network.js';
import { header, type S3Request } from './request.js';
import { invalidArgument, notImplemented, s3Error } from './s3-error.js';
import type { Signed } from './sigv4.js';

/** A body that arrived whole and passed every check the client asked for. */
export interface ReceivedBody {
  blob: Blob;
  size: number;
  md5: Buffer;
  /** The checksum the client sent, proven right. */
  checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined;
  /** Whether Content-MD5 was sent (and right). */
  hasMd5: boolean;
}

export interface BodySurroundings {
  blobs: BlobFolder;
  network: Network;
  faults: RequestFaults;
  /** Bytes it may have at most. */
  maxSize: number;
  /** Called when the body is wanted, after all that can be refused without it. */
  onStart: () => void;
}

/** Whether a request announces a body at all. */
export function announcesBody(request: S3Request): boolean {
  const length = header(request, 'content-length');
  return (length !== undefined && length !== '0') || header(request, 'transfer-encoding') !== undefined;
}

/** Reads, decodes and checks the body; nothing of it stays if it throws. */
export async function receiveBody(
  request: S3Request,
  signed: Signed,
  around: BodySurroundings,
): Promise<ReceivedBody> {
  const plan = planBody(request, signed, around.maxSize);
  const intake = new Intake(plan, around);
  around.onStart();
  try {
    await intake.readAll(request, signed);
    return intake.finish();
  } catch (error) {
    intake.writer.discard();
    throw error;
  }
}

interface BodyPlan {
  size: number;
  chunked: boolean;
  signedChunks: boolean;
  trailers: string[];
  sha256: string | undefined;
  contentMd5: string | undefined;
  algorithm: ChecksumAlgorithm | undefined;
  /** Undefined while it is still to come as a trailer. */
  checksum: string | undefined;
}

function planBody(request: S3Request, signed: Signed, maxSize: number): BodyPlan {
  const chunked = signed.payload.startsWith('STREAMING-');
  const encodings = (header(request, 'content-encoding') ?? '').split(',').map((encoding) => encoding.trim());
  if (!chunked && encodings.includes('aws-chunked')) {
    throw s3Error('InvalidRequest', {
      message: 'Content-Encoding aws-chunked needs a STREAMING- x-amz-content-sha256',
    });
  }
  if (!chunked && header(request, 'transfer-encoding') !== undefined)
    throw notImplemented('Transfer-Encoding');
  const length = header(request, chunked ? 'x-amz-decoded-content-length' : 'content-length');
  if (length === undefined && (chunked || request.method === 'PUT')) throw s3Error('MissingContentLength');
  const size = Number(length ?? 0);
  if (!Number.isSafeInteger(size) || size < 0)
    throw invalidArgument('Content-Length', String(length), 'Invalid length');
  if (size > maxSize) {
    throw s3Error('EntityTooLarge', { details: { ProposedSize: size, MaxSizeAllowed: maxSize } });
  }
  const trailer = header(request, 'x-amz-trailer');
  const wantsTrailer = signed.payload.endsWith('-TRAILER');
  if ((trailer !== undefined) !== wantsTrailer) {
    throw s3Error('InvalidRequest', {
      message: 'The value specified in the x-amz-trailer header is not supported',
    });
  }
  const trailers = trailer === undefined ? [] : trailer.split(',').map((name) => name.trim().toLowerCase());
  const contentMd5 = header(request, 'content-md5');
  if (contentMd5 !== undefined && !isBase64Of(contentMd5, 16))
    throw s3Error('InvalidDigest', { details: { 'Content-MD5': contentMd5 } });
  return {
    size,
    chunked,
    signedChunks: signed.payload.startsWith('STREAMING-AWS4'),
    trailers,
    sha256: chunked || signed.payload === 'UNSIGNED-PAYLOAD' ? undefined : signed.payload,
    contentMd5,
    ...announcedChecksum(request, trailers),
  };
}

function isBase64Of(text: string, bytes: number): boolean {
  const decoded = Buffer.from(text, 'base64');
  return decoded.length === bytes && decoded.toString('base64') === text;
}

function announcedChecksum(request: S3Request, trailers: string[]): Pick<BodyPlan, 'algorithm' | 'checksum'> {
  const found: { algorithm: ChecksumAlgorithm; checksum: string | undefined }[] = [];
  const prefix = 'x-amz-checksum-';
  for (const name in request.incoming.headers) {
    const algorithm = name.slice(prefix.length);
    if (!name.startsWith(prefix) || !isChecksumAlgorithm(algorithm)) continue;
    const value = header(request, name) as string;
    if (!isBase64Of(value, CHECKSUM_LENGTHS[algorithm])) {
      throw s3Error('InvalidRequest', { message: `Value for ${name} header is invalid.` });
    }
    found.push({ algorithm, checksum: value });
  }
  for (const name of trailers) {
    const algorithm = name.slice(prefix.length);
    if (!name.startsWith(prefix) || !isChecksumAlgorithm(algorithm)) {
      throw s3Error('InvalidRequest', {
        message: 'The value specified in the x-amz-trailer header is not supported',
      });
    }
    found.push({ algorithm, checksum: undefined });
  }
  if (found.length > 1) {
    throw s3Error('InvalidRequest', {
      message: 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    });
  }
  checkSdkAlgorithm(request, found[0]?.algorithm);
  return found[0] ?? { algorithm: undefined, checksum: undefined };
}

function checkSdkAlgorithm(request: S3Request, algorithm: ChecksumAlgorithm | undefined): void {
  const announced = header(request, 'x-amz-sdk-checksum-algorithm');
  if (announced === undefined) return;
  if (!isChecksumAlgorithm(announced.toLowerCase())) {
    throw s3Error('InvalidRequest', { message: 'Value for x-amz-sdk-checksum-algorithm header is invalid.' });
  }
  if (algorithm === undefined) {
    throw s3Error('InvalidRequest', {
      message:
        'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    });
  }
  if (announced.toLowerCase() !== algorithm) {
    throw s3Error('InvalidRequest', { message: 'Value for x-amz-sdk-checksum-algorithm header is invalid.' });
  }
}

class Intake {
  readonly writer: BlobWriter;
  private readonly md5: Hash = createHash('md5');
  private readonly sha256: Hash | undefined;
  private readonly checksum: Digest | undefined;
  private received = 0;
  private trailerChecksum: string | undefined;

  constructor(
    private readonly plan: BodyPlan,
    private readonly around: BodySurroundings,
  ) {
    this.writer = around.blobs.writer(plan.size);
    this.sha256 = plan.sha256 === undefined ? undefined : createHash('sha256');
    this.checksum = plan.algorithm === undefined ? undefined : createDigest(plan.algorithm);
  }

  async readAll(request: S3Request, signed: Signed): Promise<void> {
    const { plan } = this;
    if (!plan.chunked) {
      await readIncoming(request, this.around, (bytes) => this.take(bytes));
      return;
    }
    const decoder = new ChunkedDecoder({
      signed: plan.signedChunks ? signed : undefined,
      trailers: plan.trailers,
      onData: (bytes) => this.take(bytes),
    });
    await readIncoming(request, this.around, (bytes) => decoder.push(bytes));
    decoder.end();
    const [name] = plan.trailers;
    if (name === undefined) return;
    this.trailerChecksum = decoder.trailers.get(name) as string;
    if (!isBase64Of(this.trailerChecksum, CHECKSUM_LENGTHS[plan.algorithm as ChecksumAlgorithm])) {
      throw s3Error('InvalidRequest', { message: `Value for ${name} trailing header is invalid.` });
    }
  }

  private take(chunk: Buffer): void {
    const bytes = this.around.faults.corruptReceived(chunk, this.received);
    this.received += bytes.length;
    if (this.received > this.plan.size) {
      throw s3Error('IncompleteBody', {
        message: 'The request body is longer than x-amz-decoded-content-length',
      });
    }
    this.writer.write(bytes);
    this.md5.update(bytes);
    this.sha256?.update(bytes);
    this.checksum?.update(bytes);
  }

  finish(): ReceivedBody {
    const { plan } = this;
    if (this.received !== plan.size) {
      throw s3Error('IncompleteBody', {
        details: { NumberBytesExpected: plan.size, NumberBytesReceived: this.received },
      });
    }
    const md5 = this.md5.digest();
    if (plan.contentMd5 !== undefined && plan.contentMd5 !== md5.toString('base64')) {
      throw s3Error('BadDigest', {
        details: { ExpectedDigest: plan.contentMd5, CalculatedDigest: md5.toString('base64') },
      });
    }
    const expected = plan.checksum ?? this.trailerChecksum;
    const checksum = this.checksum?.digest().toString('base64');
    if (expected !== checksum) {
      throw s3Error('BadDigest', {
        message: `The ${plan.algorithm?.toUpperCase()} you specified did not match the calculated checksum.`,
      });
    }
    const sha256 = this.sha256?.digest('hex');
    if (sha256 !== plan.sha256) {
      throw s3Error('XAmzContentSHA256Mismatch', {
        details: { ClientComputedContentSHA256: plan.sha256 ?? '', S3ComputedContentSHA256: sha256 ?? '' },
      });
    }
    return {
      blob: this.writer.finish(),
      size: this.received,
      md5,
      checksum:
        plan.algorithm && checksum !== undefined ? { algorithm: plan.algorithm, value: checksum } : undefined,
      hasMd5: plan.contentMd5 !== undefined,
    };
  }
}

/** Hands over the raw body, slowed down and broken off as network and faults want it. */
function readIncoming(
  request: S3Request,
  around: BodySurroundings,
  onBytes: (bytes: Buffer) => void,
): Promise<void> {
  const { incoming } = request;
  return new Promise((resolve, reject) => {
    let ended = false;
    const fail = (error?: Error) => {
      if (ended) return;
      ended = true;
      incoming.off('data', onData);
      incoming.resume();
      reject(error ?? new ConnectionGone());
    };
    const onData = (chunk: Buffer) => {
      request.bodyBytes += chunk.length;
      try {
        if (around.faults.bodyProgress(request.bodyBytes) === 'break') {
          incoming.socket.resetAndDestroy();
          return fail();
        }
        onBytes(chunk);
      } catch (error) {
        return fail(error as Error);
      }
      const wait = around.network.takeBandwidth(chunk.length);
      const stall = around.faults.stallOf(request.bodyBytes);
      if (wait + stall > 0) {
        incoming.pause();
        if (Number.isFinite(stall)) setTimeout(() => incoming.resume(), wait + stall).unref();
      }
    };
    incoming.on('data', onData);
    incoming.on('end', () => {
      if (ended) return;
      ended = true;
      resolve();
    });
    incoming.on('close', () => fail());
    incoming.on('error', () => fail());
  });
}
