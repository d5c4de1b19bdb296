/** A folder tree below its input: opens on the button, loads folder by folder, a click takes the folder over. */

import { type FolderPage, type Problem, sentence } from './api.js';
import { element, icon, t } from './text.js';

export interface FolderSource {
  /** One level; `folder` is '' for the top. */
  list(folder: string, after?: string): Promise<FolderPage>;
  /** How a folder in `parent` is written into the input. */
  join(parent: string, name: string): string;
}

/** Pages of one level that are shown at most: a person looks for a folder, not for a file among millions. */
const MOST_PAGES = 5;

async function children(source: FolderSource, folder: string): Promise<TreeItem[]> {
  const items: TreeItem[] = [];
  let after: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { entries, next } = await source.list(folder, after);
    for (const entry of entries) {
      if (entry.kind !== 'folder') continue;
      const path = source.join(folder, entry.name);
      items.push({ label: entry.name, icon: 'fa fa-folder-o', path, children: lazily(source, path) });
    }
    if (next === undefined) break;
    after = next;
  }
  return items;
}

function lazily(source: FolderSource, folder: string): (done: (items: TreeItem[]) => void) => void {
  return (done) => {
    children(source, folder).then(done, (problem: Problem) => {
      done([{ label: sentence(problem), icon: 'fa fa-warning', path: '' }]);
    });
  };
}

/** The levels down to `target`, open, and `target` chosen, so that one starts where one is. */
async function openedAt(source: FolderSource, folder: string, target: string): Promise<TreeItem[]> {
  const items = await children(source, folder);
  const next = items.find(({ path }) => path === target || target.startsWith(`${path.replace(/\/$/, '')}/`));
  if (next === undefined) return items;
  if (next.path === target) next.selected = true;
  else {
    // What can't be listed is shown folded; opening it says why.
    const below = await openedAt(source, next.path, target).catch(() => undefined);
    if (below !== undefined) Object.assign(next, { children: below, expanded: true });
  }
  return items;
}

/** Scrolls to what is chosen; the tree builds long lists bit by bit, so it may not be there yet. */
function showSelected(panel: JQuery, looks = 40): void {
  const chosen = panel.find('.selected')[0];
  if (chosen !== undefined) chosen.scrollIntoView({ block: 'nearest' });
  else if (looks > 0 && panel.hasClass('open')) setTimeout(() => showSelected(panel, looks - 1), 50);
}

/** Makes `toggle` open and close a tree in `panel` that writes into `input`. */
export function folderBrowser(toggle: JQuery, panel: JQuery, input: JQuery, source: FolderSource): void {
  const close = () => {
    panel.empty().removeClass('open');
    toggle.attr('aria-expanded', 'false');
  };
  const open = async () => {
    toggle.attr('aria-expanded', 'true');
    panel
      .addClass('open')
      .append(element('div', 'cloud-sync-hint', t('browser.loading')).prepend(icon('spinner fa-spin'), ' '));
    try {
      const items = await openedAt(source, '', String(input.val()).replace(/\/+$/, ''));
      if (!panel.hasClass('open')) return;
      panel.empty();
      if (items.length === 0) panel.append(element('div', 'cloud-sync-hint', t('browser.empty')));
      else {
        panel.append(tree(items));
        showSelected(panel);
      }
    } catch (problem) {
      panel.empty().append(element('div', 'cloud-sync-hint cloud-sync-bad', sentence(problem as Problem)));
    }
  };
  const tree = (items: TreeItem[]) => {
    const list = element('div').css({ width: '100%', height: '100%' }).treeList({ data: items });
    list.on('treelistselect', (_event, item: TreeItem) => {
      if (item.path !== '') input.val(item.path).trigger('input').trigger('change');
    });
    list.on('treelistconfirm', close);
    return list;
  };
  toggle.on('click', (event) => {
    event.preventDefault();
    if (panel.hasClass('open')) close();
    else void open();
  });
}

/** How a folder below another one is written in a bucket. */
export function joinRemote(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

/** Folders of the machine Node-RED runs on. */
export function localSource(post: (path: string, body: object) => Promise<FolderPage>): FolderSource {
  return {
    list: (folder, after) => post('local-folder', { path: folder, after }),
    join: (parent, name) => (name.startsWith('/') ? name : `${parent.replace(/\/$/, '')}/${name}`),
  };
}
