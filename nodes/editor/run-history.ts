/** The last runs of a node, with a chart of their bytes, and the log of the one that is chosen. */

import type { RunReport } from '../../src/engine/report.js';
import { formatBytes, formatSeconds } from '../status.js';
import { get, type Problem, sentence } from './api.js';
import { runLog } from './run-log.js';
import { reportLine } from './run-words.js';
import { element, t } from './text.js';

const MOST_SHOWN = 30;
const CHART_RUNS = 20;
const SVG = 'http://www.w3.org/2000/svg';

function svg(tag: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** Bytes of each run as bars, oldest first; a failed run is a red one. */
function chart(runs: readonly RunReport[]): JQuery {
  const shown = runs.slice(0, CHART_RUNS).toReversed();
  const most = Math.max(1, ...shown.map((run) => run.transferred.bytes));
  const width = 240;
  const step = width / CHART_RUNS;
  const picture = svg('svg', { viewBox: `0 0 ${width} 40`, role: 'img', class: 'cloud-sync-chart' });
  picture.setAttribute('aria-label', t('history.chart', { count: shown.length, most: formatBytes(most) }));
  shown.forEach((run, index) => {
    const height = Math.max(2, (run.transferred.bytes / most) * 36);
    const bar = svg('rect', {
      x: index * step + 1,
      y: 40 - height,
      width: step - 2,
      height,
      rx: 1,
      class: `cloud-sync-chart-${run.status}`,
    });
    const title = svg('title', {});
    title.textContent = `${new Date(run.startedAt).toLocaleString()}: ${formatBytes(run.transferred.bytes)}, ${formatSeconds(run.durationMs / 1000)}`;
    bar.append(title);
    picture.append(bar);
  });
  return $(picture as unknown as HTMLElement);
}

function runRow(run: RunReport, onClick: (row: JQuery) => void): JQuery {
  const row = element('button', 'cloud-sync-run').attr({ type: 'button', 'aria-expanded': 'false' });
  const options = { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } as const;
  row.append(
    element('span', `cloud-sync-dot cloud-sync-dot-${run.status}`),
    element('span', 'cloud-sync-run-time', new Date(run.startedAt).toLocaleString(undefined, options)),
    element('span', 'cloud-sync-run-what', reportLine(run.status, run)).attr(
      'title',
      reportLine(run.status, run),
    ),
    element('span', 'cloud-sync-muted', formatSeconds(run.durationMs / 1000)),
  );
  return row.on('click', () => onClick(row));
}

/** Fills `box`; `refresh` reads the list again. */
export function runHistory(box: JQuery, nodeId: string): { refresh(): void } {
  const top = element('div').appendTo(box);
  const list = element('div', 'cloud-sync-runs').appendTo(box);
  let openRun: string | undefined;
  let log: JQuery | undefined;

  const show = (runs: RunReport[]) => {
    top.empty();
    list.children().detach();
    if (runs.length === 0) {
      list.append(element('div', 'cloud-sync-line cloud-sync-muted', t('history.none')));
      return;
    }
    if (runs.some((run) => run.transferred.bytes > 0)) top.append(chart(runs));
    for (const run of runs.slice(0, MOST_SHOWN)) {
      const row = runRow(run, (clicked) => toggle(run, clicked));
      list.append(row);
      if (run.runId === openRun && log !== undefined) row.attr('aria-expanded', 'true').after(log);
    }
  };
  const toggle = (run: RunReport, row: JQuery) => {
    log?.remove();
    list.find('[aria-expanded="true"]').attr('aria-expanded', 'false');
    const opens = openRun !== run.runId;
    openRun = opens ? run.runId : undefined;
    log = opens ? runLog(nodeId, run) : undefined;
    if (log !== undefined) row.attr('aria-expanded', 'true').after(log);
  };
  const refresh = () => {
    get<{ runs: RunReport[] }>(`tasks/${nodeId}/runs`).then(
      ({ runs }) => show(runs),
      (problem: Problem) =>
        top.empty().append(element('div', 'cloud-sync-line cloud-sync-bad', sentence(problem))),
    );
  };
  refresh();
  return { refresh };
}
