/** In what an S3 service may differ from Amazon's, as data: what a preset sets and the store goes by. */

import type { StoreFeatures } from '../store.js';

const MIB = 1024 * 1024;

export interface S3Traits {
  /** `none`: listings come in an order of their own. */
  order: 'utf8' | 'none';
  /** Old versions can be kept, listed and read. */
  versions: boolean;
  /**
   * `If-Match` and `If-None-Match` of writes are obeyed. Where they aren't (refused, ignored, or nobody knows), they are
   * not sent, and the object is looked at right before the write instead.
   */
  conditionalWrites: boolean;
  /** The ETag of an object made of parts is the MD5 of its parts' MD5s, as at Amazon. */
  multipartEtag: boolean;
  /** Large objects can be copied in parts (UploadPartCopy). */
  copiesInParts: boolean;
  /** Parts an upload has at most. */
  maxUploadParts: number;
  /** Bytes per part where the user asks for nothing else. */
  partSize: number;
  /** From this size on in parts. Bytes. */
  uploadThreshold: number;
  /** rclone's encoding mask for names, by its names. */
  names: readonly string[];
  /** Smallest step of modification times that other programs keep there, ns. */
  timePrecision: bigint;
  /** Times and hashes are also written by the names that Backblaze's own interface uses; see b2/metadata.ts. */
  b2Metadata: boolean;
  /** See {@link StoreFeatures.minimumStorageDays}. */
  minimumStorageDays: Readonly<Record<string, number>>;
}

export const AMAZON_TRAITS: S3Traits = {
  order: 'utf8',
  versions: true,
  conditionalWrites: true,
  multipartEtag: true,
  copiesInParts: true,
  // Source: "Amazon S3 multipart upload limits", Amazon S3 User Guide.
  maxUploadParts: 10_000,
  // CPU per byte is the same for 8 and 16 MiB; smaller parts are less to send again.
  partSize: 8 * MIB,
  uploadThreshold: 16 * MIB,
  // As rclone's S3 backend.
  names: ['InvalidUtf8', 'Slash', 'Dot'],
  timePrecision: 1n,
  b2Metadata: false,
  // "Minimum storage duration", https://aws.amazon.com/s3/storage-classes/. Services with classes of these names follow it.
  minimumStorageDays: {
    STANDARD_IA: 30,
    ONEZONE_IA: 30,
    GLACIER_IR: 90,
    GLACIER: 90,
    DEEP_ARCHIVE: 180,
  },
};
