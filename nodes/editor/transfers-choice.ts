/** How many files at once: in words, or as a number. */

import { element, t } from './text.js';

const PRESETS: Readonly<Record<string, string>> = { automatic: '', low: '2', medium: '8', high: '24' };

/** Keeps the choice and the number beside it in step. */
export function prepareTransfers(select: JQuery, input: JQuery, onChange: () => void): void {
  for (const name of [...Object.keys(PRESETS), 'custom']) {
    select.append(element('option', '', t(`transfers.${name}`)).attr('value', name));
  }
  const presetOf = (value: string) =>
    Object.entries(PRESETS).find(([, number]) => number === value)?.[0] ?? 'custom';
  select.val(presetOf(String(input.val())));
  input.toggle(select.val() === 'custom');
  select.on('change', () => {
    const number = PRESETS[String(select.val())];
    input.toggle(number === undefined);
    if (number === undefined) input.trigger('focus');
    else input.val(number).trigger('change');
    onChange();
  });
}
