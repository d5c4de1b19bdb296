/**
 * A typed input in a dialog: a button beside a field changes it for Node-RED's own input of messages, contexts,
 * environment variables and expressions, and back. Everyday fields stay plain.
 */

import { INPUT_TYPES, typePropertyOf } from '../typed-inputs.js';
import { field, isTicked, readTicks } from './form-fields.js';
import { listBox, readBandwidth, readPatterns } from './lists.js';
import { element, icon, t } from './text.js';

/** Node-RED's own types, and one that leads back to the plain field. */
function types(): unknown[] {
  const [fixed, ...others] = INPUT_TYPES;
  return [{ value: fixed, label: t('typed.fixed'), icon: 'fa fa-pencil', hasValue: false }, ...others];
}

class TypedField {
  private readonly typeInput: JQuery;
  private readonly holder = element('div', 'cloud-sync-typed-input').hide();
  private readonly toggle = element('button', 'red-ui-button cloud-sync-typed-toggle').attr('type', 'button');
  private input: JQuery | undefined;
  /** What stood in the plain field before. */
  private fixedText = '';

  /**
   * @param name the property
   * @param saved its value, where it is typed the text of the typed input
   * @param fixed what is shown while it isn't typed
   * @param place takes the button, as its last child
   * @param label of the input, for screen readers
   */
  constructor(
    private readonly name: string,
    saved: unknown,
    private readonly fixed: JQuery,
    place: JQuery,
    private readonly label: string,
    private readonly onChange: () => void,
  ) {
    this.typeInput = field(typePropertyOf(name));
    this.toggle
      .append(icon('code'))
      .attr({ 'aria-label': `${t('typed.button')}: ${label}`, title: t('typed.button') });
    this.toggle.on('click', (event) => {
      event.preventDefault();
      this.setType(this.isTyped ? 'str' : 'msg', '');
    });
    fixed.after(this.holder);
    place.append(this.toggle);
    if (this.isTyped) this.show(String(saved ?? ''));
    this.showToggle();
  }

  get type(): string {
    return String(this.typeInput.val() || 'str');
  }
  get isTyped(): boolean {
    return this.type !== 'str';
  }
  /** Of the typed input. */
  get text(): string {
    return String(this.input?.typedInput('value') ?? '').trim();
  }

  /** The plain field, where it is one. */
  private get plain(): JQuery {
    return field(this.name);
  }

  private setType(type: string, text: string): void {
    if (type !== 'str' && !this.isTyped) this.fixedText = String(this.plain.val() ?? '');
    this.typeInput.val(type).trigger('change');
    if (type === 'str') {
      this.holder.hide();
      this.fixed.show();
      this.plain.val(this.fixedText).trigger('change').trigger('focus');
    } else {
      this.show(text);
      this.plain.val(text).trigger('change');
      this.holder.find('.red-ui-typedInput-input').trigger('focus');
    }
    this.showToggle();
    this.onChange();
  }

  private show(text: string): void {
    this.fixed.hide();
    this.holder.show();
    if (this.input !== undefined) {
      this.input.typedInput('type', this.type);
      this.input.typedInput('value', text);
      return;
    }
    this.input = $('<input type="text" style="width:100%">').attr('aria-label', this.label).val(text);
    this.input.appendTo(this.holder).typedInput({ types: types(), default: this.type });
    this.input.on('change keyup', () => this.take());
  }

  /** What was typed or chosen in the typed input. */
  private take(): void {
    const type = String(this.input!.typedInput('type'));
    if (!this.isTyped) return;
    if (type === 'str') {
      this.setType('str', '');
      return;
    }
    if (type !== this.type) this.typeInput.val(type).trigger('change');
    this.plain.val(this.text).trigger('change');
    this.onChange();
  }

  private showToggle(): void {
    this.toggle.toggleClass('selected', this.isTyped).attr('aria-pressed', String(this.isTyped));
  }
}

/** A property as it stands in its own field. */
function readField(name: string): unknown {
  switch (name) {
    case 'include':
    case 'exclude':
      return readPatterns($(`#cloud-sync-${name}`));
    case 'bandwidthLimit':
      return readBandwidth($('#cloud-sync-bandwidth'));
    case 'allowOverrides':
      return readTicks($('#cloud-sync-overrides'));
    default:
      return field(name).is(':checkbox') ? isTicked(name) : field(name).val();
  }
}

/** The typed inputs of a dialog, and with them all that stands in it. */
export class TypedFields {
  private readonly fields = new Map<string, TypedField>();

  constructor(
    private readonly form: JQuery,
    private readonly node: EditorNode,
    private readonly onChange: () => void,
  ) {}

  /** Of a field that stands beside a button. */
  addField(name: string): void {
    const fixed = field(name).closest('.cloud-sync-with-button');
    this.add(name, fixed, fixed.parent(), this.form.find(`label[for="node-input-${name}"]`));
  }

  /** Of a list below its title. */
  addList(name: string, list: JQuery): void {
    const title = this.form.find(`[data-title="${name}"]`);
    this.add(name, listBox(list), title, title);
  }

  isTyped(name: string): boolean {
    return this.fields.get(name)?.isTyped === true;
  }

  /** What stands in the dialog: each of `properties`, and of the `typed` ones the type beside them. */
  values(properties: readonly string[], typed: readonly string[]): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const name of properties) values[name] = this.valueOf(name);
    for (const name of typed) values[typePropertyOf(name)] = this.fields.get(name)?.type ?? 'str';
    return values;
  }

  valueOf(name: string): unknown {
    return this.isTyped(name) ? this.fields.get(name)!.text : readField(name);
  }

  private add(name: string, fixed: JQuery, place: JQuery, label: JQuery): void {
    const text = label.text().trim();
    this.fields.set(name, new TypedField(name, this.node[name], fixed, place, text, this.onChange));
  }
}
