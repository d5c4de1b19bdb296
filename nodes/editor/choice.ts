/** A choice of a few as buttons side by side: radio buttons underneath, so keyboard and screen readers know them. */

import { element, icon } from './text.js';

export interface Choice {
  value: string;
  label: string;
  icon: string;
}

let groups = 0;

/** Fills the `.cloud-sync-choice[data-input=...]` of `form` and keeps the hidden input beside it up to date. */
export function fillChoice(
  form: JQuery,
  input: string,
  choices: readonly Choice[],
  onChange: (value: string) => void,
): void {
  const hidden = form.find(`#node-input-${input}`);
  const box = form.find(`.cloud-sync-choice[data-input="${input}"]`).empty();
  const name = `cloud-sync-choice-${++groups}`;
  const present = choices.some(({ value }) => value === hidden.val())
    ? String(hidden.val())
    : choices[0]!.value;
  for (const choice of choices) {
    const radio = element('input').attr({ type: 'radio', name, value: choice.value });
    radio.prop('checked', choice.value === present);
    radio.on('change', () => {
      hidden.val(choice.value).trigger('change');
      onChange(choice.value);
    });
    const label = element('label').append(
      radio,
      element('span').append(icon(choice.icon), ` ${choice.label}`),
    );
    box.append(label);
  }
  if (hidden.val() !== present) hidden.val(present);
}
