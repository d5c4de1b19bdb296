/** What a node says under itself: short, and not more often than a person can read. */

import type { Progress, RunReport } from '../src/engine/report.js';

export interface NodeStatus {
  fill: 'red' | 'green' | 'yellow' | 'blue' | 'grey';
  shape: 'ring' | 'dot';
  text: string;
}

/** Status is kept and sent to every open editor: not more than one in this many ms while a run goes on. */
const STATUS_INTERVAL_MS = 1000;
const REASON_LENGTH = 60;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes in decimal units, three digits: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Seconds in the largest sensible unit: `40 s`, `3 min`, `2 h 5 min`, `3 d 4 h`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}

/** `1,234`. Not by `toLocaleString`: the first use of that loads tables and holds Node-RED for more than 10 ms. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

/** `24 Nov 14:03` in the machine's time zone. */
function formatMoment(iso: string): string {
  const time = new Date(iso);
  const month = MONTHS[time.getMonth()];
  const clock = `${String(time.getHours()).padStart(2, '0')}:${String(time.getMinutes()).padStart(2, '0')}`;
  return `${time.getDate()} ${month} ${clock}`;
}

function shorten(text: string): string {
  return text.length > REASON_LENGTH ? `${text.slice(0, REASON_LENGTH - 1).trimEnd()}…` : text;
}

/** The status of a run that waits. `why` as the runner says it. */
export function queuedStatus(why: string): NodeStatus {
  return { fill: 'blue', shape: 'ring', text: shorten(why === '' ? 'queued' : `queued: ${why}`) };
}

/** `12.3 MB/s · 45 % · 3 min left` while files are on their way, else what goes on. */
export function progressStatus(progress: Progress): NodeStatus {
  return { fill: 'blue', shape: 'dot', text: progressText(progress) };
}

function progressText(progress: Progress): string {
  const { phase, files, bytesPerSecond, percent, etaSeconds, frozen } = progress;
  if (frozen !== undefined && phase === 'transferring') {
    const parts = [`${grouped(frozen)} still frozen`, `${Math.floor(percent)} %`];
    if (bytesPerSecond > 0) parts.unshift(`${formatBytes(bytesPerSecond)}/s`);
    return parts.join(' · ');
  }
  switch (phase) {
    case 'waiting':
      return 'waiting';
    case 'pre-script':
    case 'post-script':
    case 'snapshot':
      return phase;
    case 'listing':
      return files.total > 0 ? `comparing · ${formatCount(files.total, 'file')}` : 'comparing';
    case 'deleting':
      return 'deleting';
    case 'transferring': {
      const parts = [`${formatBytes(bytesPerSecond)}/s`, `${Math.floor(percent)} %`];
      if (etaSeconds !== null) parts.push(`${formatSeconds(etaSeconds)} left`);
      return parts.join(' · ');
    }
  }
}

function successText(report: RunReport): string {
  if (report.operation === 'verify') return formatCount(report.matched ?? 0, 'file matches', 'files match');
  const { files, bytes } = report.transferred;
  const parts: string[] = [];
  if (files > 0) parts.push(formatCount(files, 'file'), formatBytes(bytes));
  const { overwrites = 0 } = report;
  // What a preview is made for.
  if (report.dryRun && overwrites > 0) parts.push(`${grouped(overwrites)} overwritten`);
  if (report.deleted > 0) parts.push(`${grouped(report.deleted)} deleted`);
  if (parts.length === 0) parts.push('up to date');
  return parts.join(' · ');
}

function failureText(report: RunReport): string {
  if (report.operation === 'verify' && report.counts !== undefined) {
    const { differs, missingLocal, missingRemote } = report.counts;
    const unequal = differs + missingLocal + missingRemote;
    if (unequal > 0) return formatCount(unequal, 'file differs', 'files differ');
    if (report.counts.unreadable > 0) return `${formatCount(report.counts.unreadable, 'file')} unreadable`;
    if (report.counts.unverifiable > 0)
      return `${formatCount(report.counts.unverifiable, 'file')} can't be verified`;
  }
  const [first] = report.errors;
  if (first === undefined) return 'failed';
  const more = report.errorCount > 1 ? ` (+${grouped(report.errorCount - 1)})` : '';
  const where = first.path === '' || first.message.includes(first.path) ? '' : `${first.path}: `;
  return `${where}${first.message}${more}`;
}

/** The status that stays after a run. */
export function finishedStatus(report: RunReport): NodeStatus {
  const when = formatMoment(report.finishedAt);
  const dryRun = report.dryRun ? 'dry run: ' : '';
  switch (report.status) {
    case 'success':
      return { fill: 'green', shape: 'dot', text: `${dryRun}${successText(report)} · ${when}` };
    case 'aborted':
      return { fill: 'grey', shape: 'ring', text: `${dryRun}aborted · ${when}` };
    case 'skipped':
      return { fill: 'yellow', shape: 'ring', text: `skipped: busy · ${when}` };
    case 'failed':
      return { fill: 'red', shape: 'dot', text: shorten(`${dryRun}${failureText(report)}`) };
  }
}

/** What a failed run says in one sentence, for Catch nodes and the log: reason, file, what to do. */
export function failureSentence(report: RunReport): string {
  const text = failureText(report);
  const advice = report.errors[0]?.advice;
  return advice === undefined ? text : `${text.replace(/\.$/, '')}. ${advice}`;
}

/** Passes status on, throttled while a run goes on, and never twice the same. */
export class StatusLine {
  private lastText = '';
  private lastTime = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly show: (status: NodeStatus) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Shown unless the last one is too fresh: for progress. */
  update(status: NodeStatus): void {
    if (this.now() - this.lastTime < STATUS_INTERVAL_MS) return;
    this.set(status);
  }

  /** Shown at once. */
  set(status: NodeStatus): void {
    const text = `${status.fill} ${status.shape} ${status.text}`;
    if (text === this.lastText) return;
    this.lastText = text;
    this.lastTime = this.now();
    this.show(status);
  }
}
