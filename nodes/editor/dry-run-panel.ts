/** 'Dry run' in a dialog: what the values in it would do, as they stand there, deployed or not. */

import type { LogEntry, RunReport } from '../../src/engine/report.js';
import type { DryRunState } from '../cloud-sync/dry-run.js';
import { formatBytes } from '../status.js';
import { type Problem, post, sentence } from './api.js';
import { pendingDeletes } from './pending-deletes.js';
import { progressLine } from './run-words.js';
import { button, count, element, icon, t } from './text.js';

/** ms between two questions. */
const INTERVAL = 1000;
const MOST_PROBLEMS = 5;
/** Bytes of a part of a large file, and files of one delete, as most providers have them: near enough for an estimate. */
const PART = 16_000_000;
const DELETED_AT_ONCE = 1000;

const LOOKS: Readonly<Record<string, { className: string; iconName: string }>> = {
  'would delete': { className: 'cloud-sync-deleted', iconName: 'trash-o' },
  'would transfer': { className: 'cloud-sync-taken', iconName: 'arrow-right' },
  'would rename': { className: 'cloud-sync-taken', iconName: 'i-cursor' },
};

function entryLine({ event, path = '', bytes, message }: LogEntry): JQuery {
  const { className, iconName } = LOOKS[event]!;
  const replaces = event === 'would transfer' && message !== undefined;
  const what = replaces
    ? t('dryRun.replaces')
    : event === 'would transfer'
      ? ''
      : t(`dryRun.${event.slice(6)}`);
  return element('li', className).append(
    icon(replaces ? 'exchange' : iconName),
    element('span', 'cloud-sync-scan-path', path),
    element('span', 'cloud-sync-muted', what),
    element('span', 'cloud-sync-muted', bytes === undefined ? '' : formatBytes(bytes)),
  );
}

/** Requests of the run itself: one per file, more for large ones, deletes by the thousand, and what this one has sent. */
function requestsOf({ transferred: { files, bytes }, deleted, requests }: RunReport): number {
  const inParts = bytes > files * PART ? Math.ceil(bytes / PART) : 0;
  return files + inParts + Math.ceil(deleted / DELETED_AT_ONCE) + (requests.total ?? 0);
}

/** What it came to, in one or two sentences. */
function outcome(report: RunReport): JQuery {
  const { transferred, overwrites = 0, deleted, checked, requests } = report;
  const parts: string[] = [];
  if (transferred.files > 0) {
    const files = `${count('file', transferred.files)}, ${formatBytes(transferred.bytes)}`;
    parts.push(t(report.direction === 'push' ? 'dryRun.sends' : 'dryRun.brings', { files }));
  }
  if (overwrites > 0) parts.push(t('dryRun.overwrites', { files: count('file', overwrites) }));
  if (deleted > 0) parts.push(t('dryRun.deletes', { files: count('file', deleted) }));
  if (report.status === 'failed') parts.push(t('dryRun.failed'));
  if (parts.length === 0) parts.push(t('dryRun.nothing'));
  const compared = t('dryRun.compared', {
    files: count('file', checked),
    requests: (requests.total ?? 0).toLocaleString(),
  });
  const estimate = t('dryRun.estimate', { requests: requestsOf(report).toLocaleString() });
  const more = transferred.files + deleted > 0 ? `${compared} ${estimate}` : compared;
  return element('div').append(
    element('div', 'cloud-sync-outcome', parts.join(' ')),
    element('div', 'cloud-sync-muted', more),
  );
}

function problemLines(records: RunReport['errors'], className: string): JQuery[] {
  return records.slice(0, MOST_PROBLEMS).map((record) => {
    const where = record.path === '' || record.message.includes(record.path) ? '' : `${record.path}: `;
    return element('div', className, `${where}${sentence(record)}`);
  });
}

function describe({ report, entries = [] }: { report: RunReport; entries?: LogEntry[] }): JQuery {
  const box = element('div');
  if (report.status === 'aborted') return box.text(t('words.aborted'));
  box.append(outcome(report), ...problemLines(report.errors, 'cloud-sync-bad'));
  box.append(...problemLines(report.warnings, 'cloud-sync-warning'));
  if (report.pendingDeletes !== undefined) box.append(pendingDeletes(report.pendingDeletes, undefined));
  if (entries.length === 0) return box;
  const list = element('ul', 'cloud-sync-scan').attr({ tabindex: 0, 'aria-label': t('dryRun.files') });
  const rest = report.transferred.files + report.deleted - entries.length;
  if (rest > 0) list.append(element('li', 'cloud-sync-muted', t('dryRun.first', { count: entries.length })));
  return box.append(list.append(...entries.map(entryLine)));
}

export class DryRunPanel {
  private readonly answer = element('div', 'cloud-sync-hint cloud-sync-dry-run').attr({
    role: 'status',
    'aria-live': 'polite',
  });
  private readonly press: JQuery;
  private runId: string | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  /** @param input what the server is asked with; a text says what is missing */
  constructor(
    buttons: JQuery,
    answers: JQuery,
    private readonly input: () => object | string,
  ) {
    this.press = button(t('sidebar.dryRun'), 'eye', () => void this.begin());
    this.press.attr({ id: 'cloud-sync-dry-run', title: t('dryRun.hint') });
    buttons.append(this.press);
    answers.append(this.answer);
  }

  /** The dialog is closed: nobody wants to know any more. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.stop();
  }

  private stop(): void {
    if (this.runId !== undefined) post(`dry-run/${this.runId}/abort`).catch(() => undefined);
  }

  private async begin(): Promise<void> {
    const input = this.input();
    if (typeof input === 'string') return this.complain(input);
    this.press.prop('disabled', true);
    this.showProgress([t('words.starting')]);
    try {
      this.runId = (await post<{ runId: string }>('dry-run', input)).runId;
      if (this.closed) return this.stop();
      await this.follow(this.runId);
    } catch (problem) {
      this.end();
      this.complain(sentence(problem as Problem));
    }
  }

  private async follow(runId: string): Promise<void> {
    const state = await post<DryRunState>(`dry-run/${runId}`);
    if (this.closed) return;
    const { report, entries, progress, waitingFor } = state;
    if (report !== undefined) {
      this.end();
      this.answer.empty().append(describe({ report, entries }));
      return;
    }
    this.showProgress(
      progressLine({ status: waitingFor === undefined ? 'running' : 'queued', progress, waitingFor }),
    );
    this.timer = setTimeout(() => {
      this.follow(runId).catch((problem: Problem) => {
        this.end();
        this.complain(sentence(problem));
      });
    }, INTERVAL);
  }

  private end(): void {
    this.runId = undefined;
    this.press.prop('disabled', false);
  }

  private showProgress(lines: string[]): void {
    let words = this.answer.find('.cloud-sync-dry-run-progress');
    if (words.length === 0) {
      words = element('span', 'cloud-sync-dry-run-progress');
      this.answer
        .removeClass('cloud-sync-bad')
        .empty()
        .append(
          icon('spinner fa-spin'),
          ' ',
          words,
          ' ',
          button(t('sidebar.abort'), 'stop', () => this.stop()),
        );
    }
    words.text(lines.join(' · '));
  }

  private complain(text: string): void {
    this.answer.addClass('cloud-sync-bad').empty().append(icon('times'), ` ${text}`);
  }
}
