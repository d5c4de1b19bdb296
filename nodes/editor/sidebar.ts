/** The sidebar 'Cloud Sync': every task with what it does, did and will do next. */

import type { RunReport } from '../../src/engine/report.js';
import type { NodeRunState } from '../../src/runner/runner.js';
import { get, type Problem, post, sentence } from './api.js';
import { pendingDeletes } from './pending-deletes.js';
import { openRestore } from './restore-tray.js';
import { runHistory } from './run-history.js';
import { ago, isBusy, progressLine, reportLine } from './run-words.js';
import { button, element, icon, nodeById, t } from './text.js';

/** A node that runs, as the server describes it. */
export interface DeployedNode {
  id: string;
  type: string;
  name: string;
  operation: 'sync' | 'restore' | 'verify';
  schedule: string;
  enabled: boolean;
  nextRun: number | null;
  stale: boolean;
  state: NodeRunState;
  /** Started in the sidebar, for this task. */
  ofTask?: string;
}

const ICONS = { sync: 'cloud-upload', restore: 'cloud-download', verify: 'check-circle-o' } as const;
const REFRESH_MS = 30_000;

function showProblem(problem: unknown): void {
  RED.notify(
    $('<div>')
      .text(sentence(problem as Problem))
      .html(),
    { type: 'error', timeout: 8000 },
  );
}

/** One node of the list. */
class Card {
  readonly root = element('li', 'cloud-sync-card');
  private readonly title = element('span', 'cloud-sync-card-title');
  private readonly lines = element('div');
  private readonly actions = element('div', 'cloud-sync-card-actions');
  private readonly details = element('div', 'cloud-sync-card-details');
  private readonly toggle: JQuery;
  private history: { refresh(): void } | undefined;
  private asks: 'run' | 'abort' | undefined;
  private shownRun = '';
  private shownActions = '';
  /** Redrawn only for another run, so that what is open stays open. */
  private pending: { runId: string; box: JQuery } | undefined;

  constructor(public node: DeployedNode) {
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
    const body = element('div', 'cloud-sync-card-body').append(head, this.lines, this.actions);
    this.root.append(body, this.details.hide());
    this.show();
  }

  update(node: DeployedNode): void {
    const before = this.node.state;
    this.node = node;
    const was = isBusy(before);
    if (was !== isBusy(node.state)) this.asks = undefined;
    this.show();
    const run = `${node.state.status} ${node.state.runId ?? node.state.report?.runId ?? ''}`;
    if (this.history !== undefined && run !== this.shownRun) this.history.refresh();
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

  show(): void {
    const { state } = this.node;
    this.title.text(this.name).attr('title', this.name);
    this.pending?.box.detach();
    this.lines.empty().append(isBusy(state) ? this.busyLines() : this.idleLines());
    this.showActions();
  }

  private busyLines(): JQuery {
    const { state } = this.node;
    const percent = state.status === 'running' ? (state.progress?.percent ?? 0) : 0;
    const bar = element('div', 'cloud-sync-bar').attr({
      role: 'progressbar',
      'aria-valuenow': Math.floor(percent),
      'aria-valuemin': 0,
      'aria-valuemax': 100,
      'aria-label': this.name,
    });
    const known = state.progress?.phase === 'transferring';
    bar.toggleClass('cloud-sync-bar-unknown', state.status === 'running' && !known);
    bar.append(element('div').css('width', `${percent}%`));
    return element('div').append(
      bar,
      ...progressLine(state).map((line) => element('div', 'cloud-sync-line', line)),
    );
  }

  private idleLines(): JQuery {
    const { state, nextRun } = this.node;
    const lines = element('div');
    if (state.report === undefined) {
      lines.append(element('div', 'cloud-sync-line cloud-sync-muted', t('sidebar.never')));
    } else {
      lines.append(stateLine(state.status, state.report), this.pendingBox(state.report));
    }
    if (this.node.stale) {
      lines.append(line('sidebar.stale').addClass('cloud-sync-warning').prepend(icon('warning'), ' '));
    }
    if (this.node.schedule !== '') lines.append(this.enabledSwitch());
    if (nextRun !== null) {
      const when = new Date(nextRun).toLocaleString(undefined, {
        weekday: 'short',
        hour: '2-digit',
        minute: '2-digit',
      });
      lines.append(
        element('div', 'cloud-sync-line cloud-sync-muted', t('sidebar.next', { when })).prepend(
          icon('clock-o'),
          ' ',
        ),
      );
    }
    return lines;
  }

  private get mayAct(): boolean {
    return RED.user?.hasPermission?.('cloud-sync.write') !== false;
  }

  private pendingBox(report: RunReport): JQuery {
    const { runId, pendingDeletes: pending } = report;
    if (pending === undefined) return $();
    if (this.pending?.runId !== runId) {
      const allow = (hash: string) => this.act('run', { allowDeletes: hash });
      this.pending = { runId, box: pendingDeletes(pending, this.mayAct ? allow : undefined) };
    }
    // The lines are emptied at each change, and its listeners have to survive that.
    return this.pending.box;
  }

  /** Switches the schedule in the flow; like every change of a flow, it counts when it is deployed. */
  private enabledSwitch(): JQuery {
    const node = nodeById(this.node.id);
    const isOn = (node?.enabled ?? this.node.enabled) !== false;
    const tick = element('input').attr({ type: 'checkbox', 'data-action': 'enabled' }).prop('checked', isOn);
    tick.prop('disabled', node === undefined || !this.mayAct);
    tick.on('change', () => {
      if (node === undefined) return;
      const before = {
        t: 'edit',
        node,
        changes: { enabled: isOn },
        changed: node.changed,
        dirty: RED.nodes.dirty(),
      };
      node.enabled = !isOn;
      node.changed = true;
      RED.history.push(before);
      RED.nodes.dirty(true);
      RED.view.redraw(true);
      this.show();
      this.lines.find('[data-action="enabled"]').trigger('focus');
    });
    const label = element('label', 'cloud-sync-switch').append(tick, ` ${t('sidebar.enabled')}`);
    const line = element('div', 'cloud-sync-line').append(label);
    if (isOn !== this.node.enabled) {
      line.append(element('span', 'cloud-sync-muted', ` · ${t('sidebar.notDeployed')}`));
    }
    return line;
  }

  /** Made anew only where there are others, so that none vanishes under a click or loses the focus. */
  private showActions(): void {
    const { state, operation } = this.node;
    const shown = `${this.asks} ${isBusy(state)}`;
    if (shown === this.shownActions || !this.mayAct) return;
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
      add('run', 'play', () => (operation === 'verify' ? this.act('run') : this.ask('run')));
      if (operation !== 'verify') add('dryRun', 'flask', () => this.act('run', { dryRun: true }));
      if (operation === 'sync') {
        add('restore', 'cloud-download', () => openRestore({ id: this.node.id, name: this.name }));
        add('verify', 'check-circle-o', () => this.chooseMethod());
      }
    }
  }

  private ask(what: 'run' | 'abort' | undefined): void {
    this.asks = what;
    this.show();
    this.actions.find(`[data-action="${what === undefined ? 'run' : `${what}Yes`}"]`).trigger('focus');
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
    this.history = opens ? runHistory(this.details, this.node.id) : undefined;
  }
}

function line(key: string): JQuery {
  return element('div', 'cloud-sync-line', t(key));
}

const STATUS_ICONS: Readonly<Record<string, string>> = {
  success: 'check-circle',
  failed: 'times-circle',
  aborted: 'stop-circle',
  interrupted: 'unlink',
  skipped: 'step-forward',
};

function stateLine(status: string, report: RunReport): JQuery {
  const line = element('div', `cloud-sync-line cloud-sync-status-${status}`);
  const when = element('span', 'cloud-sync-muted', ` · ${ago(report.finishedAt)}`);
  when.attr('title', new Date(report.finishedAt).toLocaleString());
  return line.append(
    icon(STATUS_ICONS[status] ?? 'circle-o'),
    ' ',
    element('span', '', reportLine(status, report)),
    when,
  );
}

class Sidebar {
  private readonly root = element('div', 'cloud-sync-sidebar');
  private readonly list = element('ul', 'cloud-sync-cards').appendTo(this.root);
  private readonly empty = element('div', 'cloud-sync-empty').hide().appendTo(this.root);
  private readonly cards = new Map<string, Card>();

  constructor() {
    this.fillEmpty();
    this.list.on('cloud-sync-refresh', () => void this.refresh());
    RED.sidebar.addTab({
      id: 'cloud-sync',
      name: t('sidebar.title'),
      label: t('sidebar.label'),
      iconClass: 'fa fa-cloud-upload',
      content: this.root,
      enableOnEdit: true,
      action: 'cloud-sync:show-sidebar',
      onchange: () => void this.refresh(),
    });
    RED.actions.add('cloud-sync:show-sidebar', () => RED.sidebar.show('cloud-sync'));
    RED.comms.subscribe('cloud-sync/task/+', (_topic, payload) => this.onChange(payload as DeployedNode));
    for (const event of ['runtime-state', 'deploy', 'flows:loaded'])
      RED.events.on(event, () => void this.refresh());
    RED.comms.subscribe('notification/runtime-deploy', () => void this.refresh());
    // How long ago things were moves on by itself.
    setInterval(() => {
      if (this.root.is(':visible')) for (const card of this.cards.values()) card.show();
    }, REFRESH_MS);
    void this.refresh();
  }

  private fillEmpty(): void {
    const steps = element('ol');
    for (const step of ['first', 'second', 'third'])
      steps.append(element('li', '', t(`sidebar.empty.${step}`)));
    this.empty.append(
      icon('cloud-upload'),
      element('h4', '', t('sidebar.empty.title')),
      steps,
      button(t('sidebar.empty.example'), 'book', () =>
        RED.actions.invoke('core:show-examples-import-dialog'),
      ),
    );
  }

  private onChange(node: DeployedNode): void {
    const card = this.cards.get(node.id);
    if (card === undefined) void this.refresh();
    else card.update(node);
  }

  private async refresh(): Promise<void> {
    try {
      const { nodes } = await get<{ nodes: DeployedNode[] }>('tasks');
      this.showAll(nodes);
    } catch {
      // Not logged in yet, or Node-RED restarts: the next event asks again.
    }
  }

  private showAll(nodes: DeployedNode[]): void {
    const order = ['sync', 'verify', 'restore'];
    nodes.sort(
      (one, other) =>
        order.indexOf(one.operation) - order.indexOf(other.operation) || one.name.localeCompare(other.name),
    );
    for (const [id, card] of this.cards) {
      if (nodes.some((node) => node.id === id)) continue;
      card.root.remove();
      this.cards.delete(id);
    }
    for (const node of nodes) {
      const card = this.cards.get(node.id) ?? new Card(node);
      this.cards.set(node.id, card);
      card.update(node);
      this.list.append(card.root);
    }
    this.empty.toggle(nodes.length === 0);
  }
}

export const sidebar = {
  add(): void {
    new Sidebar();
  },
};
