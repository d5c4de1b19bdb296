/** 'What is taken?': the files of the local folder that the filters take or leave out, and what a first run would cost. */

import type { LocalScan } from '../../src/runner/scan-local.js';
import { formatBytes } from '../status.js';
import { type Problem, post, sentence } from './api.js';
import { button, count, element, icon, t } from './text.js';

/** A LIST answers so many. */
const LISTED_AT_ONCE = 1000;
/** Parts of a large file, as most providers get them: near enough for an estimate. */
const PART = 16_000_000;

export interface ScanInput {
  path: string;
  include: string[];
  exclude: string[];
}

/** Requests of a first run: one per file, more for large ones, and the listing. */
function requestsOf({ files, bytes, largest }: LocalScan): number {
  const inParts = largest > PART ? Math.ceil(bytes / PART) : 0;
  return files + inParts + Math.ceil(files / LISTED_AT_ONCE) + 3;
}

function fileLine({ path, size, included, rule }: LocalScan['shown'][number]): JQuery {
  const line = element('li', included ? 'cloud-sync-taken' : 'cloud-sync-left-out');
  const why = included ? (rule ?? t('scan.noRule')) : (rule ?? '');
  line.attr('title', t(included ? 'scan.takenBy' : 'scan.leftOutBy', { rule: why }));
  return line.append(
    icon(included ? 'check' : 'times'),
    element('span', 'cloud-sync-scan-path', path),
    element('span', 'cloud-sync-muted', included ? formatBytes(size) : ''),
    element('code', '', rule ?? ''),
  );
}

function describe(scan: LocalScan): JQuery {
  const box = element('div');
  const more = scan.complete ? '' : t('scan.atLeast');
  const taken = `${more}${count('file', scan.files)}, ${formatBytes(scan.bytes)}`;
  box.append(
    element('div', '', t('scan.result', { taken, leftOut: count('file', scan.leftOut) })),
    element(
      'div',
      'cloud-sync-muted',
      t('scan.estimate', {
        requests: requestsOf(scan).toLocaleString(),
        bytes: formatBytes(scan.bytes),
        later: (Math.ceil(scan.files / LISTED_AT_ONCE) + 3).toLocaleString(),
      }),
    ),
  );
  const unreadable = scan.folders.filter((folder) => folder.unreadable).map(({ path }) => path);
  if (unreadable.length > 0) {
    const folders = unreadable.slice(0, 5).join(', ');
    box.append(element('div', 'cloud-sync-warning', t('scan.unreadable', { folders })));
  }
  const skipped = scan.folders.filter((folder) => !folder.unreadable);
  const list = element('ul', 'cloud-sync-scan').attr({ tabindex: 0, 'aria-label': t('scan.files') });
  for (const { path } of skipped) {
    list.append(
      element('li', 'cloud-sync-left-out').append(
        icon('folder-o'),
        element('span', 'cloud-sync-scan-path', `${path}/`),
        element('span', 'cloud-sync-muted', t('scan.notEntered')),
      ),
    );
  }
  for (const file of scan.shown.toSorted((one, other) => Number(one.included) - Number(other.included))) {
    list.append(fileLine(file));
  }
  return box.append(list);
}

/** The button and what it says; `input` gives what stands in the dialog, or why that can't be looked at. */
export function scanPanel(buttons: JQuery, answers: JQuery, input: () => ScanInput | string): void {
  const answer = element('div', 'cloud-sync-hint cloud-sync-needs-push');
  answer.attr({ role: 'status', 'aria-live': 'polite' });
  const ask = async () => {
    const asked = input();
    if (typeof asked === 'string') {
      answer.addClass('cloud-sync-bad').text(asked);
      return;
    }
    answer
      .removeClass('cloud-sync-bad')
      .empty()
      .append(icon('spinner fa-spin'), ` ${t('scan.counting')}`);
    try {
      answer.empty().append(describe(await post<LocalScan>('local-folder/scan', asked)));
    } catch (problem) {
      answer.addClass('cloud-sync-bad').text(sentence(problem as Problem));
    }
  };
  const press = button(t('scan.button'), 'search', () => void ask()).attr('id', 'cloud-sync-scan');
  buttons.append(press.addClass('cloud-sync-needs-push'));
  answers.append(answer);
}
