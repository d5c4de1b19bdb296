/** One node in the sidebar: what it does, did and will do next, and what can be done with it. */

import type { RunReport } from '../../src/engine/report.js';
import type { NodeRunState } from '../../src/runner/runner.js';
import type { DeployedNode } from '../deployed-node.js';
import { mayAct, type Problem, post, sentence } from './api.js';
import { pendingDeletes } from './pending-deletes.js';
import { openRestore } from './restore-tray.js';
import { RunHistory } from './run-history.js';
import { ago, isBusy, progressLine, reportLine } from './run-words.js';
import { ScheduleLine } from './schedule-line.js';
import { button, element, icon, nodeById, t } from './text.js';

const ICONS = { sync: 'cloud-upload', restore: 'cloud-download', verify: 'check-circle-o' } as const;

const STATUS_ICONS: Readonly<Record<string, string>> = {
  success: 'check-circle',
  failed: 'times-circle',
  aborted: 'stop-circle',
  interrupted: 'unlink',
  skipped: 'step-forward',
};

function showProblem(problem: unknown): void {
  RED.notify(
    $('<div>')
      .text(sentence(problem as Problem))
      .html(),
    { type: 'error', timeout: 8000 },
  );
}

function progressBar(name: string, state: NodeRunState): JQuery {
  const percent = state.status === 'running' ? (state.progress?.percent ?? 0) : 0;
  const bar = element('div', 'cloud-sync-bar').attr({
    role: 'progressbar',
    'aria-valuenow': Math.floor(percent),
    'aria-valuemin': 0,
    'aria-valuemax': 100,
    'aria-label': name,
  });
  const isKnown = state.progress?.phase === 'transferring';
  bar.toggleClass('cloud-sync-bar-unknown', state.status === 'running' && !isKnown);
  return bar.append(element('div').css('width', `${percent}%`));
}

/** How the last run came out, and how long ago. */
function resultLine(status: string, report: RunReport): JQuery {
  const when = element('span', 'cloud-sync-muted', ` · ${ago(report.finishedAt)}`);
  when.attr('title', new Date(report.finishedAt).toLocaleString());
  return element('div', `cloud-sync-line cloud-sync-status-${status}`).append(
    icon(STATUS_ICONS[status] ?? 'circle-o'),
    ' ',
    element('span', '', reportLine(status, report)),
    when,
  );
}

export class Card {
  readonly root = element('li', 'cloud-sync-card');
  private readonly title = element('span', 'cloud-sync-card-title');
  private readonly lines = element('div');
  private readonly schedule: ScheduleLine;
  private readonly actions = element('div', 'cloud-sync-card-actions');
  private readonly details = element('div', 'cloud-sync-card-details');
  private readonly toggle: JQuery;
  private history: RunHistory | undefined;
  private asks: 'run' | 'abort' | undefined;
  private shownRun = '';
  private shownActions = '';
  /** Redrawn only for another run, so that what is open stays open. */
  private pending: { runId: string; box: JQuery } | undefined;

  constructor(public node: DeployedNode) {
    this.schedule = new ScheduleLine(node);
    this.toggle = button(t('sidebar.history'), 'history', () => this.toggleDetails(), true);
    this.toggle.attr('aria-expanded', 'false');
    const head = element('div', 'cloud-sync-card-head').append(
      icon(ICONS[node.operation]),
      this.title,
      this.toggle,
      node.ofTask === undefined
        ? button(t('sidebar.show'), 'crosshairs', () => RED.view.reveal(this.node.id), true)
        : button(t('sidebar.forget'), 'times', () => this.forget(), true),
    );
    const body = element('div', 'cloud-sync-card-body').append(
      head,
      this.lines,
      this.schedule.root,
      this.actions,
    );
    this.root.append(body, this.details.hide());
    this.show();
  }

  update(node: DeployedNode, timeZone: string | undefined): void {
    if (isBusy(this.node.state) !== isBusy(node.state)) this.asks = undefined;
    this.node = node;
    this.show();
    this.schedule.update(node, timeZone);
    const { state } = node;
    this.history?.follow(state);
    const run = `${state.status} ${state.runId ?? state.report?.runId ?? ''}`;
    if (run !== this.shownRun) this.history?.refresh();
    this.shownRun = run;
  }

  private get name(): string {
    const known = nodeById(this.node.id) as
      | (EditorNode & { _def?: { label(this: EditorNode): string } })
      | undefined;
    if (this.node.ofTask !== undefined) {
      return t(`label.${this.node.operation}Of`, { task: this.node.name });
    }
    return this.node.name || known?._def?.label.call(known) || t(`label.${this.node.operation}`);
  }

  private show(): void {
    const { state, stale } = this.node;
    this.title.text(this.name).attr('title', this.name);
    this.pending?.box.detach();
    this.lines.empty();
    if (isBusy(state)) {
      this.lines.append(
        progressBar(this.name, state),
        ...progressLine(state).map((line) => element('div', 'cloud-sync-line', line)),
      );
    }
    if (state.report !== undefined) this.lines.append(this.lastRun(state));
    else if (!isBusy(state)) {
      this.lines.append(element('div', 'cloud-sync-line cloud-sync-muted', t('sidebar.never')));
    }
    if (stale) {
      const line = element('div', 'cloud-sync-line cloud-sync-warning', t('sidebar.stale'));
      this.lines.append(line.prepend(icon('warning'), ' '));
    }
    this.showActions();
  }

  /** While another run goes on, what came before is a line beside it. */
  private lastRun({ status, report }: NodeRunState): JQuery {
    if (isBusy({ status })) {
      return resultLine(report!.status, report!).prepend(
        element('span', 'cloud-sync-muted', t('sidebar.before')),
      );
    }
    return element('div').append(resultLine(status, report!), this.pendingBox(report!));
  }

  private pendingBox({ runId, pendingDeletes: pending }: RunReport): JQuery {
    if (pending === undefined) return $();
    if (this.pending?.runId !== runId) {
      const allow = (hash: string) => this.act('run', { allowDeletes: hash });
      this.pending = { runId, box: pendingDeletes(pending, mayAct() ? allow : undefined) };
    }
    // The lines are emptied at each change, and its listeners have to survive that.
    return this.pending.box;
  }

  /** Made anew only where there are others, so that none vanishes under a click or loses the focus. */
  private showActions(): void {
    const { state, operation } = this.node;
    const shown = `${this.asks} ${isBusy(state)} ${this.isPull}`;
    if (shown === this.shownActions || !mayAct()) return;
    this.shownActions = shown;
    this.actions.empty();
    const add = (name: string, iconName: string, act: () => void) =>
      this.actions.append(button(t(`sidebar.${name}`), iconName, act).attr('data-action', name));
    if (this.asks !== undefined) {
      const asked = this.asks;
      this.actions.append(element('span', 'cloud-sync-question', t(`sidebar.${asked}Question`)));
      add(`${asked}Yes`, 'check', () => this.act(asked));
      add('no', 'times', () => this.ask(undefined));
    } else if (isBusy(state)) {
      add('abort', 'stop', () => this.ask('abort'));
    } else if (this.node.ofTask === undefined) {
      add('run', 'play', () => this.ask('run'));
      if (operation !== 'verify') add('dryRun', 'flask', () => this.act('run', { dryRun: true }));
      if (operation === 'sync') {
        if (!this.isPull) {
          add('restore', 'cloud-download', () => openRestore({ id: this.node.id, name: this.name }));
        }
        add('verify', 'check-circle-o', () => this.chooseMethod());
      }
    }
  }

  /** The files of such a task are here already: bringing them back is what it does when it runs. */
  private get isPull(): boolean {
    return nodeById(this.node.id)?.direction === 'pull';
  }

  private ask(what: 'run' | 'abort' | undefined): void {
    const before = this.asks;
    this.asks = what;
    this.show();
    this.actions.find(`[data-action="${what === undefined ? before : `${what}Yes`}"]`).trigger('focus');
  }

  private act(what: 'run' | 'abort', body: object = {}): void {
    this.ask(undefined);
    this.post(what, body);
  }

  private post(what: string, body: object = {}): void {
    post(`tasks/${this.node.id}/${what}`, body).catch(showProblem);
  }

  private forget(): void {
    const done = () => this.root.trigger('cloud-sync-refresh');
    post(`tasks/${this.node.id}/forget`).then(done, showProblem);
  }

  /** In place of the buttons: how to verify. */
  private chooseMethod(): void {
    const select = element('select', 'cloud-sync-method').attr('aria-label', t('sidebar.method'));
    for (const method of ['metadata', 'checksum', 'sample', 'download']) {
      select.append(element('option', '', t(`method.${method}`)).attr('value', method));
    }
    const back = () => {
      this.shownActions = '';
      this.showActions();
      this.actions.find('[data-action="verify"]').trigger('focus');
    };
    const start = () => {
      this.post('verify', { method: String(select.val()), sample: 10 });
      back();
    };
    this.actions
      .empty()
      .append(
        select,
        button(t('sidebar.verifyNow'), 'check', start).attr('data-action', 'verifyYes'),
        button(t('sidebar.no'), 'times', back),
      );
    select.trigger('focus');
  }

  private toggleDetails(): void {
    const opens = this.history === undefined;
    this.toggle.attr('aria-expanded', String(opens)).toggleClass('selected', opens);
    this.details.empty().toggle(opens);
    this.history = opens ? new RunHistory(this.details, this.node.id, this.node.state) : undefined;
  }
}
