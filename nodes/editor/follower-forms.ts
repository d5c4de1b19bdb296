/** What the dialogs of cloud-restore and cloud-verify have in common, which both follow a task; and that of cloud-verify. */

import { fillChoice } from './choice.js';
import { field, remoteOf, shownValue } from './form-fields.js';
import { taskLabel } from './task-form.js';
import { element, icon, nodeById, t } from './text.js';

function nameOf(task: EditorNode): string {
  return task.name || taskLabel(task);
}

/** Fills the list of tasks; `none` is what an empty choice means. */
export function fillTasks(
  node: EditorNode,
  none: string,
  onChange: (task: EditorNode | undefined) => void,
): void {
  const select = field('task').empty();
  select.append(element('option', '', none).attr('value', ''));
  const tasks = RED.nodes.filterNodes({ type: 'cloud-sync' });
  for (const task of tasks) {
    const flow = RED.nodes.workspace(task.z ?? '')?.label;
    const label = flow !== undefined && task.z !== node.z ? `${nameOf(task)} (${flow})` : nameOf(task);
    select.append(element('option', '', label).attr('value', task.id));
  }
  if (node.task && nodeById(node.task) === undefined) {
    select.append(element('option', '', t('follower.missing')).attr('value', String(node.task)));
  }
  // The one task there is will be the one that is meant.
  const isNew = node.task === '' && node.changed !== true && node.name === '';
  select.val(
    isNew && none === t('follower.choose') && tasks.length === 1 ? tasks[0]!.id : String(node.task ?? ''),
  );
  const show = () => onChange(nodeById(select.val()));
  select.on('change', show);
  show();
}

/** Says below the list which task it is. */
export function describeTask(
  form: JQuery,
  task: EditorNode | undefined,
  text: (task: EditorNode) => string,
): void {
  const line = form.find('.cloud-sync-task-state').empty();
  if (task !== undefined) line.append(element('span', '', text(task)));
}

/** What a choice means, in words. */
export function showConsequence(form: JQuery, text: string, danger: boolean): void {
  const line = form.find('.cloud-sync-consequence').toggleClass('cloud-sync-warning', danger).empty();
  line.append(icon(danger ? 'warning' : 'info-circle'), ' ', element('span', '', text));
}

const METHODS = [
  { value: 'metadata', icon: 'clock-o' },
  { value: 'checksum', icon: 'hashtag' },
  { value: 'sample', icon: 'random' },
  { value: 'download', icon: 'cloud-download' },
] as const;

export const verify = {
  prepare(node: EditorNode): void {
    const form = field('name').closest('.cloud-sync-form');
    fillTasks(node, t('follower.fromMessage'), (task) => {
      if (task === undefined) form.find('.cloud-sync-task-state').text(t('follower.fromMessageHint'));
      else
        describeTask(form, task, (one) =>
          t('follower.compares', { local: shownValue(one, 'path'), remote: remoteOf(one) }),
        );
    });
    const choices = METHODS.map(({ value, icon: iconName }) => ({
      value,
      label: t(`method.${value}`),
      icon: iconName,
    }));
    const show = (method: string) => {
      showConsequence(form, t(`consequence.verify.${method}`), false);
      form.find('.cloud-sync-needs-sample').toggle(method === 'sample');
    };
    fillChoice(form, 'method', choices, show);
    show(String(field('method').val()));
  },
  save(_node: EditorNode): void {},
};

/** What stands for a restore or verify without a name: the task it follows. */
export function followerLabel(node: EditorNode, type: 'cloud-restore' | 'cloud-verify'): string {
  const task = nodeById(node.task);
  const kind = type === 'cloud-restore' ? 'restore' : 'verify';
  return task === undefined ? t(`label.${kind}`) : t(`label.${kind}Of`, { task: nameOf(task) });
}
