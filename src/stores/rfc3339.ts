/** Times as RFC 3339 text, to the nanosecond: how rclone keeps modification times where metadata is text. */

/** In UTC with nine decimals, as rclone writes it; undefined for years RFC 3339 can't express. */
export function formatRfc3339(time: bigint): string | undefined {
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const date = new Date(Number((time - nanoseconds) / 1_000_000n));
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1 || year > 9999) return undefined;
  return `${date.toISOString().slice(0, 19)}.${nanoseconds.toString().padStart(9, '0')}Z`;
}

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

/** ns since the epoch, with any number of decimals (past nine they are cut) and any offset; undefined for other text. */
export function parseRfc3339(text: string | undefined): bigint | undefined {
  const parts = text === undefined ? null : RFC3339.exec(text);
  if (parts === null) return undefined;
  const ms = Date.parse(`${parts[1]}T${parts[2]}${parts[4]!.toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((parts[3] ?? '').slice(0, 9).padEnd(9, '0'));
}
