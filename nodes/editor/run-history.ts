/** The last runs of a node, with a chart of them, and the log of the one that is chosen; first the one that goes on. */

import type { RunReport } from '../../src/engine/report.js';
import type { NodeRunState } from '../../src/runner/runner.js';
import { formatSeconds } from '../status.js';
import { get, type Problem, sentence } from './api.js';
import { runChart } from './run-chart.js';
import { RunLog } from './run-log.js';
import { reportLine } from './run-words.js';
import { element, t } from './text.js';

const MOST_SHOWN = 30;

function row(runId: string, dot: string, when: string, what: string, duration: string): JQuery {
  return element('button', 'cloud-sync-run')
    .attr({ type: 'button', 'aria-expanded': 'false', 'data-run': runId })
    .append(
      element('span', `cloud-sync-dot cloud-sync-dot-${dot}`),
      element('span', 'cloud-sync-run-time', when),
      element('span', 'cloud-sync-run-what', what).attr('title', what),
      element('span', 'cloud-sync-muted', duration),
    );
}

function rowOf(run: RunReport): JQuery {
  const options = { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } as const;
  const when = new Date(run.startedAt).toLocaleString(undefined, options);
  return row(run.runId, run.status, when, reportLine(run.status, run), formatSeconds(run.durationMs / 1000));
}

export class RunHistory {
  private readonly top: JQuery;
  private readonly running: JQuery;
  private readonly list: JQuery;
  private runs: RunReport[] = [];
  /** Id of the run that goes on. */
  private current: string | undefined;
  private open: { runId: string; log: RunLog } | undefined;

  /** Fills `box`. */
  constructor(
    private readonly box: JQuery,
    private readonly nodeId: string,
    state: NodeRunState,
  ) {
    this.top = element('div').appendTo(box);
    this.running = element('div', 'cloud-sync-runs').appendTo(box);
    this.list = element('div', 'cloud-sync-runs').appendTo(box);
    this.follow(state);
    this.refresh();
  }

  /** Reads the list again. */
  refresh(): void {
    get<{ runs: RunReport[] }>(`tasks/${this.nodeId}/runs`).then(
      ({ runs }) => {
        this.runs = runs;
        const shown = runs.find(({ runId }) => runId === this.open?.runId);
        if (shown !== undefined) this.open!.log.finish(shown);
        this.showRuns();
      },
      (problem: Problem) => this.top.empty().append(element('div', 'cloud-sync-bad', sentence(problem))),
    );
  }

  /** The node's run has begun, gone on or ended. */
  follow(state: NodeRunState): void {
    const current = state.status === 'running' ? state.runId : undefined;
    if (current !== this.current) {
      this.current = current;
      this.showRunning();
    }
    if (current !== undefined && this.open?.runId === current) this.open.log.follow();
  }

  private showRunning(): void {
    const runId = this.current;
    this.running.children().detach();
    if (runId === undefined) return;
    const now = row(runId, 'running', t('history.now'), t('history.live'), '');
    this.running.append(now.on('click', () => this.toggle(runId, undefined)));
    this.showOpen(now, runId);
  }

  private showRuns(): void {
    this.top.empty();
    this.list.children().detach();
    if (this.runs.length === 0 && this.current === undefined) {
      this.list.append(element('div', 'cloud-sync-line cloud-sync-muted', t('history.none')));
    }
    if (this.runs.some((run) => run.transferred.bytes > 0)) this.top.append(runChart(this.runs));
    for (const run of this.runs.slice(0, MOST_SHOWN)) {
      const line = rowOf(run).on('click', () => this.toggle(run.runId, run));
      this.list.append(line);
      this.showOpen(line, run.runId);
    }
  }

  private showOpen(line: JQuery, runId: string): void {
    if (this.open?.runId === runId) line.attr('aria-expanded', 'true').after(this.open.log.panel);
  }

  private toggle(runId: string, report: RunReport | undefined): void {
    const isOpen = this.open?.runId === runId;
    this.open?.log.panel.remove();
    this.open = isOpen ? undefined : { runId, log: new RunLog(this.nodeId, runId, report) };
    this.showRunning();
    this.showRuns();
    // The row that was clicked was made anew.
    this.box.find(`[data-run="${runId}"]`).trigger('focus');
  }
}
