/**
 * Modification times as rclone keeps them on S3: `x-amz-meta-mtime`, seconds since the epoch with up to nine decimals.
 * Source: `TimeToFloatString` and `FloatStringToTime` of ncw/swift, used by rclone's backend/s3.
 */

/** ns since the epoch as rclone writes it: no zeros at the end of the decimals. */
export function formatModificationTime(time: bigint): string {
  const magnitude = time < 0n ? -time : time;
  const seconds = magnitude / 1_000_000_000n;
  const decimals = (magnitude % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${time < 0n ? '-' : ''}${seconds}${decimals === '' ? '' : `.${decimals}`}`;
}

/** The exact ns of what rclone, s3cmd or s3fs wrote; undefined where it is no number. Past nine decimals are cut. */
export function parseModificationTime(text: string | undefined): bigint | undefined {
  const parts = /^(-?)(\d*)(?:\.(\d*))?$/.exec(text?.trim() ?? '');
  if (parts === null) return undefined;
  const [, sign, seconds = '', decimals = ''] = parts;
  if (seconds === '' && decimals === '') return undefined;
  const magnitude = BigInt(seconds || '0') * 1_000_000_000n + BigInt(decimals.slice(0, 9).padEnd(9, '0'));
  return sign === '-' ? -magnitude : magnitude;
}
