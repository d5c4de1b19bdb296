/** The schedule of a task in the sidebar: in words, with its switch and the next run. */

import type { DeployedNode } from '../deployed-node.js';
import { mayAct } from './api.js';
import { runText, scheduleSummary } from './schedule-form.js';
import { element, icon, nodeById, t } from './text.js';

const BROWSER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** As clocks show it where Node-RED runs; the zone beside it where the browser's is another one. */
function momentText(moment: number, timeZone: string | undefined): string {
  const text = runText(new Date(moment), timeZone);
  const isOther = timeZone !== undefined && text !== runText(new Date(moment), BROWSER_ZONE);
  return isOther ? `${text} (${timeZone})` : text;
}

export class ScheduleLine {
  readonly root = element('div');
  private shown = '';
  private timeZone: string | undefined;

  constructor(private node: DeployedNode) {
    this.show();
  }

  update(node: DeployedNode, timeZone: string | undefined): void {
    this.node = node;
    this.timeZone = timeZone;
    this.show();
  }

  /** Made anew only where it changed: the switch keeps the focus. */
  private show(): void {
    const { id, operation, ofTask, schedule, enabled, nextRun } = this.node;
    if (operation !== 'sync' || ofTask !== undefined) return;
    const isOn = (nodeById(id)?.enabled ?? enabled) !== false;
    const shown = JSON.stringify([
      schedule,
      enabled,
      isOn,
      nextRun,
      this.timeZone,
      nodeById(id) === undefined,
    ]);
    if (shown === this.shown) return;
    this.shown = shown;
    const words = element('div', 'cloud-sync-line cloud-sync-muted', scheduleSummary(schedule, enabled));
    if (nextRun !== null) {
      words.append(` · ${t('sidebar.next', { when: momentText(nextRun, this.timeZone) })}`);
    }
    this.root.empty().append(words.prepend(icon('clock-o'), ' '));
    if (schedule !== '') this.root.append(this.enabledSwitch(isOn));
  }

  /** Switches the schedule in the flow; like every change of a flow, it counts when it is deployed. */
  private enabledSwitch(isOn: boolean): JQuery {
    const node = nodeById(this.node.id);
    const tick = element('input').attr({ type: 'checkbox', 'data-action': 'enabled' }).prop('checked', isOn);
    tick.prop('disabled', node === undefined || !mayAct());
    tick.on('change', () => {
      if (node === undefined) return;
      RED.history.push({
        t: 'edit',
        node,
        changes: { enabled: isOn },
        changed: node.changed,
        dirty: RED.nodes.dirty(),
      });
      node.enabled = !isOn;
      node.changed = true;
      RED.nodes.dirty(true);
      RED.view.redraw(true);
      this.show();
      this.root.find('[data-action="enabled"]').trigger('focus');
    });
    const label = element('label', 'cloud-sync-switch').append(tick, ` ${t('sidebar.enabled')}`);
    const line = element('div', 'cloud-sync-line').append(label);
    if (isOn !== this.node.enabled) {
      line.append(element('span', 'cloud-sync-muted', ` · ${t('sidebar.notDeployed')}`));
    }
    return line;
  }
}
