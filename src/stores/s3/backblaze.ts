/**
 * What Backblaze's own interface, and with it rclone's b2 backend and TrueNAS, keep in an object's metadata. "File info" of
 * that interface is `x-amz-meta-*` of the S3 one, names as they are.
 *
 * Sources: https://www.backblaze.com/docs/cloud-storage-add-file-information-with-the-native-api (file info, recommended
 * name of the time); https://www.backblaze.com/apidocs/b2-start-large-file (`large_file_sha1`); rclone's backend/b2.
 */

/** Time of the file, ms since the epoch, as a decimal number. */
const MODIFIED_MILLIS = 'src_last_modified_millis';
/** SHA-1 of a file uploaded in parts, hex; of others Backblaze computes it. */
const LARGE_FILE_SHA1 = 'large_file_sha1';

/** What {@link takeBackblazeMetadata} found. */
export interface BackblazeMetadata {
  /** ns since the epoch, whole ms. */
  modificationTime?: bigint;
  /** Lower-case hex. */
  sha1?: string;
}

/** Reads Backblaze's names and takes them out of `metadata`. */
export function takeBackblazeMetadata(metadata: Record<string, string>): BackblazeMetadata {
  const found: BackblazeMetadata = {};
  const millis = metadata[MODIFIED_MILLIS]?.trim();
  if (millis !== undefined && /^-?\d{1,18}$/.test(millis)) {
    found.modificationTime = BigInt(millis) * 1_000_000n;
  }
  // Some programs write that they didn't verify it.
  const sha1 = metadata[LARGE_FILE_SHA1]?.toLowerCase().replace(/^unverified:/, '');
  if (sha1 !== undefined && /^[0-9a-f]{40}$/.test(sha1)) found.sha1 = sha1;
  delete metadata[MODIFIED_MILLIS];
  delete metadata[LARGE_FILE_SHA1];
  return found;
}

/**
 * The time of an object that carries one by rclone's S3 name, with nanoseconds, and one by Backblaze's. We write both;
 * where they differ by more than what milliseconds can't hold, one was changed since, and that is what programs that speak
 * Backblaze's own interface do.
 */
export function trueTime(mtime: bigint | undefined, millis: bigint | undefined): bigint | undefined {
  if (mtime === undefined || millis === undefined) return mtime ?? millis;
  return (mtime / 1_000_000n) * 1_000_000n === millis ? mtime : millis;
}

/** Metadata by Backblaze's names. */
export function backblazeMetadata(
  modificationTime: bigint | undefined,
  sha1: string | undefined,
): Record<string, string> {
  return {
    // As rclone cuts it: towards zero.
    ...(modificationTime === undefined ? {} : { [MODIFIED_MILLIS]: String(modificationTime / 1_000_000n) }),
    ...(sha1 === undefined ? {} : { [LARGE_FILE_SHA1]: sha1 }),
  };
}
