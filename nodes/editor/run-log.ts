/**
 * The log of one run, searched and filtered by the server: of a run that is over from its start, more on demand; of one
 * that goes on its end, and what comes.
 */

import type { LogEntry, RunReport } from '../../src/engine/report.js';
import { formatBytes } from '../status.js';
import { get, type Problem, sentence } from './api.js';
import { button, element, icon, t } from './text.js';

interface LogPage {
  entries: LogEntry[];
  next: string;
  end: boolean;
}

const PAGE = 200;
/** Lines of a run that goes on that stay on the page. */
const MOST_LIVE = 1000;
const DOWNLOAD_PAGE = 1000;
const MOST_PROBLEMS = 3;

function logLine({ time, level, event, path, bytes, message }: LogEntry): JQuery {
  const clock = new Date(time).toLocaleTimeString(undefined, { hour12: false });
  const what = [path, bytes === undefined ? undefined : formatBytes(bytes), message]
    .filter((part) => part)
    .join(' · ');
  return element('div', `cloud-sync-log-line cloud-sync-log-${level}`).append(
    element('span', 'cloud-sync-muted', clock),
    element('span', 'cloud-sync-log-event', event),
    element('span', 'cloud-sync-log-what', what),
  );
}

function textLine({ time, level, event, path = '', bytes, message = '' }: LogEntry): string {
  return `${[new Date(time).toISOString(), level, event, path, bytes ?? '', message].join('\t')}\n`;
}

function saveAs(name: string, parts: string[]): void {
  const address = URL.createObjectURL(new Blob(parts, { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}

/** The first errors of the report, with what can be done. */
function problemLines(errors: RunReport['errors']): JQuery[] {
  return errors.slice(0, MOST_PROBLEMS).map((error) => {
    const where = error.path === '' || error.message.includes(error.path) ? '' : `${error.path}: `;
    return element('div', 'cloud-sync-line cloud-sync-bad', `${where}${sentence(error)}`);
  });
}

/** A panel with the log of a run; made without a report it follows a run that goes on. */
export class RunLog {
  readonly panel = element('div', 'cloud-sync-log');
  private readonly search = element('input').attr({
    type: 'text',
    placeholder: t('log.search'),
    'aria-label': t('log.search'),
  });
  private readonly onlyProblems = element('input').attr('type', 'checkbox');
  private readonly download = button(t('log.download'), 'download', () => void this.save(), true);
  private readonly problems = element('div');
  private readonly lines = element('div', 'cloud-sync-log-lines').attr({
    role: 'log',
    tabindex: 0,
    'aria-label': t('log.title'),
  });
  private readonly more = element('div');
  private isLive: boolean;
  private next = '';
  /** The last one asked: answers to earlier ones come too late. */
  private question = 0;
  private isAsking = false;

  constructor(
    private readonly nodeId: string,
    private readonly runId: string,
    report: RunReport | undefined,
  ) {
    this.isLive = report === undefined;
    if (report !== undefined) this.problems.append(...problemLines(report.errors));
    this.panel.append(
      element('div', 'cloud-sync-log-tools').append(
        this.search,
        element('label').append(this.onlyProblems, ` ${t('log.errors')}`),
        this.download,
      ),
      this.problems,
      this.lines,
      this.more,
    );
    let typing: ReturnType<typeof setTimeout> | undefined;
    this.search.on('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => void this.load(''), 250);
    });
    this.onlyProblems.on('change', () => void this.load(''));
    void this.load('');
  }

  /** The run has gone on: shows what it has written since. */
  follow(): void {
    if (this.isLive && !this.isAsking && this.next !== '') void this.load(this.next);
  }

  /** The run is over. */
  finish({ errors }: RunReport): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.problems.append(...problemLines(errors));
    void this.load(this.next);
  }

  private async load(after: string): Promise<void> {
    const asked = ++this.question;
    const query: Record<string, string> = {
      limit: String(PAGE),
      search: String(this.search.val()),
      after,
      level: this.onlyProblems.prop('checked') ? 'warning' : 'info',
    };
    if (this.isLive && after === '') query.from = 'end';
    this.isAsking = true;
    try {
      const page = await get<LogPage>(`tasks/${this.nodeId}/runs/${this.runId}/log`, query);
      if (asked !== this.question) return;
      // Faster than it can be read: on with the end.
      if (this.isLive && !page.end) return await this.load('');
      this.show(page, after === '');
    } catch (problem) {
      if (asked !== this.question) return;
      this.lines.empty().append(element('div', 'cloud-sync-bad', sentence(problem as Problem)));
    } finally {
      if (asked === this.question) this.isAsking = false;
    }
  }

  private show({ entries, next, end }: LogPage, isFirst: boolean): void {
    const box = this.lines[0]!;
    const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
    this.next = next;
    if (isFirst || entries.length > 0) this.lines.children('.cloud-sync-log-nothing').remove();
    if (isFirst) this.lines.empty();
    this.lines.append(...entries.map(logLine));
    if (this.lines.children().length === 0) {
      this.lines.append(element('div', 'cloud-sync-muted cloud-sync-log-nothing', t('log.nothing')));
    }
    this.more.empty();
    if (!end) this.more.append(button(t('log.more'), 'angle-down', () => void this.load(this.next)));
    if (!this.isLive) return;
    this.lines.children().slice(0, -MOST_LIVE).remove();
    if (isFirst || isAtEnd) box.scrollTop = box.scrollHeight;
  }

  /** The whole log, saved as a file. */
  private async save(): Promise<void> {
    this.download.prop('disabled', true).empty().append(icon('spinner fa-spin'));
    try {
      const parts: string[] = [];
      let page: LogPage | undefined;
      do {
        const query = { after: page?.next ?? '', limit: String(DOWNLOAD_PAGE) };
        page = await get<LogPage>(`tasks/${this.nodeId}/runs/${this.runId}/log`, query);
        parts.push(page.entries.map(textLine).join(''));
      } while (!page.end);
      saveAs(`cloud-sync-${this.runId}.log`, parts);
    } catch (problem) {
      this.problems.append(element('div', 'cloud-sync-line cloud-sync-bad', sentence(problem as Problem)));
    } finally {
      this.download.prop('disabled', false).empty().append(icon('download'));
    }
  }
}
