/** Validation as one types, in words below the field. Node-RED itself only colours it. */

import { field } from './form-fields.js';
import { element } from './text.js';

export class FieldReasons {
  private readonly lines = new Map<string, JQuery>();
  /** Nothing is wrong with a field nobody has been at yet. */
  private readonly touched = new Set<string>();

  /** @param problem what is wrong with a property now, in words */
  constructor(
    form: JQuery,
    names: readonly string[],
    private readonly problem: (name: string) => string | undefined,
  ) {
    for (const name of names) {
      const input = field(name);
      // A list has no input of its own; its title says whose it is.
      const place =
        input.length > 0 ? input.closest('.form-row') : form.find(`[data-title="${name}"]`).parent();
      if (place.length === 0) continue;
      const id = `cloud-sync-reason-${name}`;
      const line = element('div', 'cloud-sync-hint cloud-sync-bad cloud-sync-reason').attr({
        id,
        role: 'alert',
      });
      input.attr('aria-describedby', id);
      place.append(line);
      this.lines.set(name, line);
    }
    form.on('input change', (event) => {
      const name = String((event.target as HTMLElement).id)
        .replace(/^node-input-/, '')
        .replace(/Type$/, '');
      if (this.lines.has(name)) this.touched.add(name);
      this.show();
    });
  }

  /** One field may be wrong because of another: all that were touched are looked at again. */
  show(): void {
    for (const name of this.touched) this.lines.get(name)!.text(this.problem(name) ?? '');
  }
}
