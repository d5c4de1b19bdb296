/** Texts in the editor's language, and small things to build pages of. */

const NAMESPACE = '@cloud-sync/node-red-cloud-sync/cloud-sync-sidebar';

/** The text `key` of this package's catalog. */
export function t(key: string, values?: Record<string, unknown>): string {
  return RED._(`${NAMESPACE}:${key}`, values);
}

/** `2 files`, `1 file`. */
export function count(key: string, number: number): string {
  return t(`count.${key}${number === 1 ? '' : 's'}`, { count: number.toLocaleString() });
}

/** An element with text (never html) and, by `className`, its look. */
export function element(tag: string, className = '', text = ''): JQuery {
  const made = $(document.createElement(tag));
  if (className !== '') made.addClass(className);
  if (text !== '') made.text(text);
  return made;
}

export function icon(name: string): JQuery {
  return element('i', `fa fa-${name}`).attr('aria-hidden', 'true');
}

/** A Node-RED button. `label` is read out and, unless `iconOnly`, shown. */
export function button(label: string, iconName: string, onClick: () => void, iconOnly = false): JQuery {
  const made = element('button', 'red-ui-button red-ui-button-small').attr('type', 'button');
  made.append(icon(iconName));
  if (iconOnly) made.attr({ 'aria-label': label, title: label });
  else made.append(document.createTextNode(` ${label}`));
  return made.on('click', (event) => {
    event.preventDefault();
    event.stopPropagation();
    onClick();
  });
}

/** The node with this id, whatever stands there; undefined where there is none. */
export function nodeById(id: unknown): EditorNode | undefined {
  return RED.nodes.node(String(id ?? '')) ?? undefined;
}
