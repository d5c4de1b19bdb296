/** The sidebar 'Cloud Sync': every task with what it does, did and will do next. */

import type { RunReport } from '../../src/engine/report.js';
import type { NodeRunState } from '../../src/runner/runner.js';
import { get, type Problem, post, sentence } from './api.js';
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

  constructor(public node: DeployedNode) {
    this.toggle = button(t('sidebar.history'), 'history', () => this.toggleDetails(), true);
    this.toggle.attr('aria-expanded', 'false');
    const head = element('div', 'cloud-sync-card-head').append(
      icon(ICONS[node.operation]),
      this.title,
      this.toggle,
      button(t('sidebar.show'), 'crosshairs', () => RED.view.reveal(this.node.id), true),
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
    return this.node.name || known?._def?.label.call(known) || t(`label.${this.node.operation}`);
  }

  show(): void {
    const { state } = this.node;
    this.title.text(this.name).attr('title', this.name);
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
      lines.append(stateLine(state.status, state.report));
    }
    if (this.node.stale) {
      lines.append(line('sidebar.stale').addClass('cloud-sync-warning').prepend(icon('warning'), ' '));
    }
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
    } else if (this.node.schedule !== '' && !this.node.enabled) {
      lines.append(
        element('div', 'cloud-sync-line cloud-sync-muted', t('sidebar.scheduleOff')).prepend(
          icon('clock-o'),
          ' ',
        ),
      );
    }
    return lines;
  }

  /** Made anew only where there are others, so that none vanishes under a click or loses the focus. */
  private showActions(): void {
    const { state, operation } = this.node;
    const shown = `${this.asks} ${isBusy(state)}`;
    if (shown === this.shownActions || RED.user?.hasPermission?.('cloud-sync.write') === false) return;
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
    } else {
      add('run', 'play', () => (operation === 'verify' ? this.act('run') : this.ask('run')));
      if (operation !== 'verify') add('dryRun', 'flask', () => this.act('run', { dryRun: true }));
    }
  }

  private ask(what: 'run' | 'abort' | undefined): void {
    this.asks = what;
    this.show();
    this.actions.find(`[data-action="${what === undefined ? 'run' : `${what}Yes`}"]`).trigger('focus');
  }

  private act(what: 'run' | 'abort', body: object = {}): void {
    this.ask(undefined);
    post(`tasks/${this.node.id}/${what}`, body).catch(showProblem);
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
