/** Files and folders of the task's source with tick boxes: what is ticked becomes a pattern of 'Only these'. */

import { type Problem, sentence } from './api.js';
import type { FolderSource } from './folder-browser.js';
import { readPatterns } from './lists.js';
import { element, t } from './text.js';
import { nameTickBoxes } from './tick-boxes.js';

/** Pages of one folder that are shown at most, 1,000 entries each. */
const MOST_PAGES = 3;

/** Exactly this file, or all of this folder, in rclone's filter language. */
export function patternOf(path: string, isFolder: boolean): string {
  return `/${path.replace(/[\\*?[\]{}]/g, '\\$&')}${isFolder ? '/**' : ''}`;
}

/** Whose files are ticked. */
export interface PickerRoot {
  source: FolderSource;
  /** The task's folder there. */
  root: string;
}

async function itemsOf(
  { source, root }: PickerRoot,
  folder: string,
  ticked: ReadonlySet<string>,
): Promise<TreeItem[]> {
  const items: TreeItem[] = [];
  let after: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const path = folder === '' ? root : source.join(root, folder);
    const { entries, next } = await source.list(path, after);
    for (const { name, kind } of entries) {
      const below = folder === '' ? name : `${folder}/${name}`;
      const pattern = patternOf(below, kind === 'folder');
      items.push({
        label: name,
        icon: `fa fa-${kind === 'folder' ? 'folder-o' : 'file-o'}`,
        path: pattern,
        checkbox: true,
        selected: ticked.has(pattern),
        ...(kind === 'folder' ? { children: (done) => load({ source, root }, below, ticked, done) } : {}),
      });
    }
    if (next === undefined) break;
    after = next;
  }
  return items;
}

function load(
  root: PickerRoot,
  folder: string,
  ticked: ReadonlySet<string>,
  done: (items: TreeItem[]) => void,
): void {
  itemsOf(root, folder, ticked).then(done, (problem: Problem) =>
    done([{ label: sentence(problem), icon: 'fa fa-warning', path: '' }]),
  );
}

/**
 * Makes `toggle` open and close the tree in `panel` that fills the pattern list `list`.
 * @param root the files to choose from, or why there are none
 */
export function includePicker(
  toggle: JQuery,
  panel: JQuery,
  list: JQuery,
  root: () => PickerRoot | string,
  onChange: () => void,
): void {
  const put = (pattern: string, isTicked: boolean) => {
    if (isTicked && !readPatterns(list).includes(pattern)) list.editableList('addItem', { pattern });
    if (!isTicked) {
      for (const row of list.editableList('items').toArray()) {
        const value = $(row).data('data') as object;
        if ($(row).find('input').val() === pattern) list.editableList('removeItem', value);
      }
    }
    onChange();
  };
  const complain = (text: string) => {
    panel.empty().append(element('div', 'cloud-sync-hint cloud-sync-bad', text));
  };
  const open = async () => {
    toggle.attr('aria-expanded', 'true');
    panel
      .addClass('open')
      .empty()
      .append(element('div', 'cloud-sync-hint', t('browser.loading')));
    const from = root();
    if (typeof from === 'string') return complain(from);
    try {
      const items = await itemsOf(from, '', new Set(readPatterns(list)));
      panel.empty();
      if (items.length === 0) panel.append(element('div', 'cloud-sync-hint', t('pick.nothing')));
      const tree = element('div').css({ width: '100%', height: '100%' }).appendTo(panel);
      // As in the restore's tree: arrow keys move, they don't tick.
      tree.treeList({ data: items, multi: true, selectable: true, autoSelect: false });
      tree.on('treelistselect', (_event, { path, selected }: TreeItem) => {
        if (path !== '') put(path, selected === true);
      });
    } catch (problem) {
      complain(sentence(problem as Problem));
    }
  };
  nameTickBoxes(panel);
  toggle.on('click', (event) => {
    event.preventDefault();
    if (!panel.hasClass('open')) return void open();
    panel.removeClass('open').empty();
    toggle.attr('aria-expanded', 'false');
  });
}
