/** A run that `maxDelete` has stopped: what it would have deleted, and 'Allow once' for exactly that. */

import type { PendingDeletes } from '../../src/engine/report.js';
import { button, count, element, icon, t } from './text.js';

const SHOWN = 20;

/** `allow` is called after a second press, with the list's hash. Undefined: may look, not act. */
export function pendingDeletes(
  { count: files, paths, hash }: PendingDeletes,
  allow: ((hash: string) => void) | undefined,
): JQuery {
  const box = element('details', 'cloud-sync-pending');
  box.append(
    element('summary').append(icon('trash-o'), ` ${t('pending.title', { files: count('file', files) })}`),
  );
  const list = element('ul').appendTo(box);
  for (const path of paths.slice(0, SHOWN)) list.append(element('li', '', path));
  if (files > SHOWN) {
    const more = t('pending.more', { count: (files - Math.min(SHOWN, paths.length)).toLocaleString() });
    list.append(element('li', 'cloud-sync-muted', more));
  }
  if (allow === undefined) return box;
  const actions = element('div', 'cloud-sync-card-actions').appendTo(box);
  const ask = () => {
    actions.empty().append(element('span', 'cloud-sync-question', t('pending.question')));
    actions.append(
      button(t('pending.yes', { files: count('file', files) }), 'check', () => allow(hash)).attr(
        'data-action',
        'allowYes',
      ),
      button(t('sidebar.no'), 'times', offer),
    );
    actions.find('[data-action="allowYes"]').trigger('focus');
  };
  const offer = () => {
    actions.empty().append(button(t('pending.allow'), 'unlock-alt', ask).attr('data-action', 'allow'));
  };
  offer();
  return box;
}
