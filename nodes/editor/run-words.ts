/** What a run does or did, in words. */

import type { RunReport } from '../../src/engine/report.js';
import type { NodeRunState } from '../../src/runner/runner.js';
import { formatBytes, formatSeconds } from '../status.js';
import { count, t } from './text.js';

export function isBusy({ status }: Pick<NodeRunState, 'status'>): boolean {
  return status === 'running' || status === 'queued';
}

/** `2 h ago`. */
export function ago(iso: string): string {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  return seconds < 45 ? t('words.justNow') : t('words.ago', { time: formatSeconds(seconds) });
}

/** One or two lines about a run that waits or goes on. */
export function progressLine({ status, progress, waitingFor }: NodeRunState): string[] {
  if (status === 'queued')
    return [waitingFor ? t('words.queuedFor', { reason: waitingFor }) : t('words.queued')];
  if (progress === undefined) return [t('words.starting')];
  const { phase, files, bytes, bytesPerSecond, percent, etaSeconds } = progress;
  const first = [t(`phase.${phase}`)];
  if (phase === 'transferring') {
    first.push(`${Math.floor(percent)} %`, `${formatBytes(bytesPerSecond)}/s`);
    if (etaSeconds !== null) first.push(t('words.left', { time: formatSeconds(etaSeconds) }));
  }
  const lines = [first.join(' · ')];
  if (files.total > 0) {
    const ofFiles = t('words.ofFiles', {
      done: files.done.toLocaleString(),
      total: files.total.toLocaleString(),
    });
    lines.push(`${ofFiles} · ${formatBytes(bytes.done)} / ${formatBytes(bytes.total)}`);
  }
  return lines;
}

function amounts(report: RunReport): string {
  if (report.operation === 'verify')
    return t('words.match', { count: (report.matched ?? 0).toLocaleString() });
  const parts: string[] = [];
  if (report.transferred.files > 0) {
    parts.push(count('file', report.transferred.files), formatBytes(report.transferred.bytes));
  }
  const { overwrites = 0 } = report;
  if (report.dryRun && overwrites > 0) {
    parts.push(t('words.overwritten', { count: overwrites.toLocaleString() }));
  }
  if (report.deleted > 0) parts.push(t('words.deleted', { count: report.deleted.toLocaleString() }));
  return parts.join(' · ') || t('words.upToDate');
}

/** What a finished run came to. */
export function reportLine(status: string, report: RunReport): string {
  const dryRun = report.dryRun ? t('words.dryRun') : '';
  switch (status) {
    case 'success':
      return dryRun + amounts(report);
    case 'failed':
      return dryRun + (report.counts === undefined ? '' : unequal(report)) + failure(report);
    default:
      return dryRun + t(`words.${status}`);
  }
}

function failure({ errors, errorCount, counts }: RunReport): string {
  const [first] = errors;
  if (first === undefined) return counts === undefined ? t('words.failed') : '';
  const where = first.path === '' || first.message.includes(first.path) ? '' : `${first.path}: `;
  const more = errorCount > 1 ? ` ${t('words.more', { count: errorCount - 1 })}` : '';
  return `${where}${first.message}${more}`;
}

/** What a verify has found, each kind with its number. */
function unequal({ counts }: RunReport): string {
  const kinds = ['differs', 'missingLocal', 'missingRemote', 'unreadable', 'unverifiable'] as const;
  const found = kinds.filter((kind) => counts![kind] > 0);
  return found.map((kind) => t(`findings.${kind}`, { count: counts![kind].toLocaleString() })).join(' · ');
}
