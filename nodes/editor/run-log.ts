/** The log of one run: its end first, searched and filtered by the server, more on demand. */

import type { LogEntry, RunReport } from '../../src/engine/report.js';
import { formatBytes } from '../status.js';
import { get, type Problem, sentence } from './api.js';
import { button, element, t } from './text.js';

interface LogPage {
  entries: LogEntry[];
  next: string;
  end: boolean;
}

const PAGE = 200;
/** Pages that a download asks for at most: 1,000 lines each. */
const DOWNLOAD_PAGES = 500;

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

/** The whole log as text, saved as a file. */
async function download(nodeId: string, runId: string): Promise<void> {
  const lines: string[] = [];
  let after = '';
  for (let page = 0; page < DOWNLOAD_PAGES; page++) {
    const answer = await get<LogPage>(`tasks/${nodeId}/runs/${runId}/log`, { after, limit: '1000' });
    for (const entry of answer.entries) {
      const { time, level, event, path = '', bytes = '', message = '' } = entry;
      lines.push([new Date(time).toISOString(), level, event, path, bytes, message].join('\t'));
    }
    if (answer.end) break;
    after = answer.next;
  }
  const address = URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = `cloud-sync-${runId}.log`;
  link.click();
  URL.revokeObjectURL(address);
}

/** A panel with the log of `run`. */
export function runLog(nodeId: string, run: RunReport): JQuery {
  const panel = element('div', 'cloud-sync-log');
  const search = element('input').attr({
    type: 'text',
    placeholder: t('log.search'),
    'aria-label': t('log.search'),
  });
  const errors = element('input').attr('type', 'checkbox');
  const lines = element('div', 'cloud-sync-log-lines').attr({
    role: 'log',
    tabindex: 0,
    'aria-label': t('log.title'),
  });
  const more = element('div');
  panel.append(
    element('div', 'cloud-sync-log-tools').append(
      search,
      element('label').append(errors, ` ${t('log.errors')}`),
      button(t('log.download'), 'download', () => void download(nodeId, run.runId), true),
    ),
    ...problems(run),
    lines,
    more,
  );
  let question = 0;
  const load = async (after: string) => {
    const asked = ++question;
    const query: Record<string, string> = { limit: String(PAGE), search: String(search.val()), after };
    if (errors.prop('checked')) query.level = 'warning';
    try {
      const page = await get<LogPage>(`tasks/${nodeId}/runs/${run.runId}/log`, query);
      if (asked !== question) return;
      if (after === '') lines.empty();
      lines.append(...page.entries.map(logLine));
      if (lines.children().length === 0) lines.append(element('div', 'cloud-sync-muted', t('log.nothing')));
      more.empty();
      if (!page.end) more.append(button(t('log.more'), 'angle-down', () => void load(page.next)));
    } catch (problem) {
      lines.empty().append(element('div', 'cloud-sync-bad', sentence(problem as Problem)));
    }
  };
  let typing: ReturnType<typeof setTimeout> | undefined;
  search.on('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => void load(''), 250);
  });
  errors.on('change', () => void load(''));
  void load('');
  return panel;
}

/** The first errors of the report, with what can be done. */
function problems(run: RunReport): JQuery[] {
  return run.errors.slice(0, 3).map((error) => {
    const where = error.path === '' || error.message.includes(error.path) ? '' : `${error.path}: `;
    return element('div', 'cloud-sync-line cloud-sync-bad', `${where}${sentence(error)}`);
  });
}
