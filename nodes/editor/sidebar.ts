/** The sidebar 'Cloud Sync': every task with what it does, did and will do next. */

import type { DeployedNode } from '../deployed-node.js';
import { get } from './api.js';
import { Card } from './sidebar-card.js';
import { button, element, icon, t } from './text.js';

const REFRESH_MS = 30_000;
const SECOND_LOOK_MS = 1500;
/** Kinds of nodes, in the order in which they are listed. */
const ORDER = ['sync', 'verify', 'restore'];

class Sidebar {
  private readonly root = element('div', 'cloud-sync-sidebar');
  private readonly list = element('ul', 'cloud-sync-cards').appendTo(this.root);
  private readonly empty = element('div', 'cloud-sync-empty').hide().appendTo(this.root);
  private readonly cards = new Map<string, Card>();
  /** Of the machine Node-RED runs on. */
  private timeZone: string | undefined;

  constructor() {
    this.fillEmpty();
    this.list.on('cloud-sync-refresh', () => void this.refresh(true));
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
    // How long ago things were, and what has become stale, moves on by itself.
    setInterval(() => {
      if (this.root.is(':visible')) void this.refresh();
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
    else card.update(node, this.timeZone);
  }

  /** `isFinal`: what is missing now is gone. */
  private async refresh(isFinal = false): Promise<void> {
    try {
      const { nodes, timeZone } = await get<{ nodes: DeployedNode[]; timeZone: string }>('tasks');
      this.timeZone = timeZone;
      this.showAll(nodes, isFinal);
    } catch {
      // Not logged in yet, or Node-RED restarts: the next event asks again.
    }
  }

  private showAll(nodes: DeployedNode[], isFinal: boolean): void {
    for (const node of nodes) {
      const card = this.cards.get(node.id) ?? new Card(node);
      this.cards.set(node.id, card);
      card.update(node, this.timeZone);
    }
    const missing = [...this.cards.keys()].filter((id) => !nodes.some((node) => node.id === id));
    // A deploy closes nodes and starts them again: their cards stay, with all that is open in them.
    if (missing.length > 0 && !isFinal) setTimeout(() => void this.refresh(true), SECOND_LOOK_MS);
    else for (const id of missing) this.remove(id);
    this.arrange();
    this.empty.toggle(this.cards.size === 0);
  }

  private remove(id: string): void {
    this.cards.get(id)?.root.remove();
    this.cards.delete(id);
  }

  /** Moves only what stands elsewhere: what is moved loses the focus. */
  private arrange(): void {
    const cards = [...this.cards.values()].sort(
      ({ node: one }, { node: other }) =>
        ORDER.indexOf(one.operation) - ORDER.indexOf(other.operation) || one.name.localeCompare(other.name),
    );
    const list = this.list[0]!;
    cards.forEach(({ root }, index) => {
      const there = list.children[index] ?? null;
      if (there !== root[0]) list.insertBefore(root[0]!, there);
    });
  }
}

export const sidebar = {
  add(): void {
    new Sidebar();
  },
};
