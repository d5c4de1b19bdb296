/**
 * Modification times as rclone keeps them on S3: `x-amz-meta-mtime`, seconds since the epoch with up to nine decimals.
 * Source: `TimeToFloatString` and `FloatStringToTime` of ncw/swift, used by rclone's backend/s3.
 */

/** ns since the epoch as rclone writes it: no zeros at the end of the decimals. */
export function formatModificationTime(time: bigint): string {
  const digits = (time < 0n ? -time : time).toString().padStart(10, '0');
  const point = digits.length - 9;
  let end = digits.length;
  while (end > point && digits[end - 1] === '0') end--;
  const decimals = end === point ? '' : `.${digits.slice(point, end)}`;
  return `${time < 0n ? '-' : ''}${digits.slice(0, point)}${decimals}`;
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
