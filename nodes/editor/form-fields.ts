/** What the dialogs of all nodes have in common: their fields, a line below one, folded sections, tick boxes. */

import { typePropertyOf } from '../typed-inputs.js';
import { element, icon } from './text.js';

/** The input of a property. */
export function field(name: string): JQuery {
  return $(`#node-input-${name}`);
}

export function isTicked(name: string): boolean {
  return field(name).prop('checked') === true;
}

export function textOf(name: string): string {
  return String(field(name).val() ?? '').trim();
}

/** A property as it can be shown before a run: of a typed input where the value comes from. */
export function shownValue(node: EditorNode, name: string): string {
  const text = String(node[name] ?? '');
  const type = node[typePropertyOf(name)];
  switch (type ?? '') {
    case '':
    case 'str':
      return text;
    case 'env':
      return `\${${text}}`;
    case 'jsonata':
      return `(${text})`;
    default:
      return `${String(type)}.${text}`;
  }
}

/** Bucket and folder of a task, as its node has them. */
export function remoteOf(task: EditorNode): string {
  return [shownValue(task, 'bucket'), shownValue(task, 'folder')].filter((part) => part !== '').join('/');
}

/** A line below a field: good, bad or neutral. */
export function say(line: JQuery, look: '' | 'good' | 'bad', text: string, iconName = ''): JQuery {
  line.removeClass('cloud-sync-good cloud-sync-bad').empty();
  if (look !== '') line.addClass(`cloud-sync-${look}`);
  if (iconName !== '') line.append(icon(iconName), ' ');
  if (text !== '') line.append(element('span', '', text));
  return line;
}

/** Says beside each folded section what it holds. */
export function showSummaries(form: JQuery, summaries: Record<string, () => string>): void {
  for (const [name, summary] of Object.entries(summaries)) {
    form.find(`[data-section="${name}"] .cloud-sync-summary`).text(summary());
  }
}

/** A tick box for each name; `chosen` are ticked. */
export function fillTicks(box: JQuery, names: readonly string[], chosen: unknown): void {
  box.empty();
  for (const name of names) {
    const tick = element('input').attr({ type: 'checkbox', value: name });
    tick.prop('checked', Array.isArray(chosen) && chosen.includes(name));
    box.append(element('label').append(tick, ' ', element('code', '', name)));
  }
}

export function readTicks(box: JQuery): string[] {
  return box
    .find('input:checked')
    .toArray()
    .map((tick) => String($(tick).val()));
}
