/**
 * rclone's version suffix (`photo-v2024-02-29-120000-000.jpg`, lib/version): its crypt format leaves it readable in
 * encrypted file names, so that a remote with versions underneath can find and add it.
 */

const SUFFIX = /-v(\d{4})-(\d{2})-(\d{2})-(\d{2})(\d{2})(\d{2})-\d{3}$/;

/** `.profile` counts as a name without extension. */
function splitExtension(name: string): [base: string, extension: string] {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot)];
}

function isMomentInTime([, year, month, day, hour, minute, second]: RegExpExecArray): boolean {
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  const isDay = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  return isDay && Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
}

/** The suffix of `name` and what is left without it; undefined where there is none. */
export function removeVersionSuffix(name: string): { name: string; suffix: string } | undefined {
  const [base, extension] = splitExtension(name);
  const match = SUFFIX.exec(base);
  if (match === null || !isMomentInTime(match)) return undefined;
  return { name: base.slice(0, match.index) + extension, suffix: match[0] };
}

export function addVersionSuffix(name: string, suffix: string): string {
  const [base, extension] = splitExtension(name);
  return base + suffix + extension;
}
