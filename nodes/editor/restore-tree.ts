/** Files of a task's backup in a tree with tick boxes. */

import { formatBytes } from '../status.js';
import { type FolderEntry, type FolderPage, type Problem, post, sentence } from './api.js';
import { element, t } from './text.js';
import { nameTickBoxes } from './tick-boxes.js';

interface RestoreItem extends TreeItem {
  isFile: boolean;
  /** Shows the next files and folders in its own place. */
  goesOn?: () => void;
}

function dateOf(modifiedAt: number | undefined): string {
  return modifiedAt === undefined ? '' : new Date(modifiedAt).toLocaleDateString();
}

export class RestoreTree {
  readonly root = element('div', 'cloud-sync-browser open cloud-sync-restore-tree');
  /** Path to whether it is a folder. */
  private readonly ticked = new Map<string, boolean>();
  private asOf = '';
  /** The last one filled: answers to earlier ones come too late. */
  private filling = 0;

  /** `onTick` hears how many are ticked. */
  constructor(
    private readonly taskId: string,
    private readonly onTick: (count: number) => void,
  ) {
    nameTickBoxes(this.root);
  }

  /** From the task's folder on; a folder stands for all that is in it. */
  get paths(): string[] {
    return [...this.ticked.keys()];
  }

  isFolder(path: string): boolean {
    return this.ticked.get(path) === true;
  }

  /** Shows the files as they were at a moment (ISO time; '' for now), none of them ticked. */
  async fill(asOf: string): Promise<void> {
    const filling = ++this.filling;
    this.asOf = asOf;
    this.ticked.clear();
    this.onTick(0);
    this.root.empty().append(element('div', 'cloud-sync-hint', t('browser.loading')));
    const top: RestoreItem = {
      label: t('restore.top'),
      icon: 'fa fa-cloud',
      path: '',
      isFile: false,
      expanded: true,
      children: [],
    };
    try {
      const items = await this.itemsOf('');
      if (filling !== this.filling) return;
      this.root.empty();
      if (items.length === 0) this.root.append(element('div', 'cloud-sync-hint', t('restore.nothing')));
      else this.show({ ...top, children: items });
    } catch (problem) {
      if (filling !== this.filling) return;
      const words = sentence(problem as Problem);
      this.root.empty().append(element('div', 'cloud-sync-hint cloud-sync-bad', words));
    }
  }

  private show(top: RestoreItem): void {
    const list = element('div').css({ width: '100%', height: '100%' }).appendTo(this.root);
    list.on('treelistselect', (_event, item: RestoreItem | undefined) => {
      if (item?.goesOn !== undefined) item.goesOn();
      if (item === undefined || item.path === '') return;
      if (item.selected) this.ticked.set(item.path, !item.isFile);
      else this.ticked.delete(item.path);
      this.onTick(this.ticked.size);
    });
    // With 'multi', a click on what has no tick box leaves the ticks alone; without 'autoSelect', so do arrow keys.
    list.treeList({
      data: [top],
      multi: true,
      selectable: true,
      autoSelect: false,
      ariaLabel: t('restore.files'),
    });
  }

  /** A page of `folder`; behind it, where there is more, an item that goes on. */
  private async itemsOf(folder: string, after?: string): Promise<RestoreItem[]> {
    const body = { folder, after, asOf: this.asOf };
    const { entries, next } = await post<FolderPage>(`tasks/${this.taskId}/folder`, body);
    const items = entries.map((entry) => this.itemOf(folder, entry));
    if (next !== undefined) {
      const more: RestoreItem = { label: t('log.more'), icon: 'fa fa-angle-down', path: '', isFile: true };
      more.goesOn = () => {
        more.goesOn = undefined;
        this.goOn(more, folder, next);
      };
      items.push(more);
    }
    return items;
  }

  private goOn(more: RestoreItem, folder: string, next: string): void {
    const parent = more.parent!;
    this.itemsOf(folder, next).then(
      (items) => {
        more.treeList!.remove();
        for (const item of items) parent.treeList!.addChild(item);
      },
      (problem: Problem) => parent.treeList!.addChild(problemItem(problem)),
    );
  }

  private itemOf(folder: string, { name, kind, size, modifiedAt }: FolderEntry): RestoreItem {
    const path = folder === '' ? name : `${folder}/${name}`;
    const isFile = kind === 'file';
    const item: RestoreItem = {
      label: name,
      sublabel: isFile ? `${formatBytes(size)} · ${dateOf(modifiedAt)}` : '',
      icon: `fa fa-${isFile ? 'file-o' : 'folder-o'}`,
      path,
      isFile,
      checkbox: true,
      selected: false,
    };
    if (!isFile) item.children = (done) => this.load(path, item, done);
    return item;
  }

  private load(folder: string, item: RestoreItem, done: (items: TreeItem[]) => void): void {
    const show = (items: TreeItem[]) => {
      // The tree adds to this list what comes later.
      item.children = items;
      done(items);
    };
    this.itemsOf(folder).then(show, (problem: Problem) => show([problemItem(problem)]));
  }
}

function problemItem(problem: Problem): RestoreItem {
  return { label: sentence(problem), icon: 'fa fa-warning', path: '', isFile: true };
}
