/** 'Restore…' of the sidebar: files of the backup in a tree, as they are or were, a target and a mode. */

import { formatBytes } from '../status.js';
import { type FolderPage, type Problem, post, sentence } from './api.js';
import { fillChoice } from './choice.js';
import { folderBrowser, localSource } from './folder-browser.js';
import { patternOf } from './include-picker.js';
import { button, element, icon, t } from './text.js';

/** Pages of one folder that are shown at most, 1,000 entries each. */
const MOST_PAGES = 5;

interface RestoreTreeItem extends TreeItem {
  isFile: boolean;
}

/** What the tray says the restore is to be. */
interface Wanted {
  path: string;
  transferMode: string;
  asOf: string;
  /** Ticked, relative to the task's folder; a folder stands for all that is in it. Undefined: everything. */
  paths: string[] | undefined;
  /** Which of them are folders. */
  folders: Set<string>;
}

async function itemsOf(taskId: string, folder: string, asOf: string): Promise<RestoreTreeItem[]> {
  const items: RestoreTreeItem[] = [];
  let after: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await post<FolderPage>(`tasks/${taskId}/folder`, { folder, after, asOf });
    for (const { name, kind, size } of answer.entries) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const isFile = kind === 'file';
      items.push({
        label: isFile ? `${name} · ${formatBytes(size)}` : name,
        icon: `fa fa-${isFile ? 'file-o' : 'folder-o'}`,
        path,
        isFile,
        checkbox: true,
        selected: false,
        ...(isFile ? {} : { children: (done) => load(taskId, path, asOf, done) }),
      });
    }
    if (answer.next === undefined) break;
    after = answer.next;
  }
  return items;
}

function load(taskId: string, folder: string, asOf: string, done: (items: TreeItem[]) => void): void {
  itemsOf(taskId, folder, asOf).then(done, (problem: Problem) =>
    done([{ label: sentence(problem), icon: 'fa fa-warning', path: '' }]),
  );
}

function row(label: string, ...content: JQuery[]): JQuery {
  const id = content[0]!.is('input') ? content[0]!.attr('id') : content[0]!.find('input').first().attr('id');
  const title = element('label', '', label);
  if (id !== undefined) title.attr('for', id);
  return element('div', 'form-row').append(title, ...content);
}

class RestoreForm {
  readonly root = element('div', 'cloud-sync-form cloud-sync-restore');
  private readonly ticked = new Map<string, boolean>();
  private readonly tree = element('div', 'cloud-sync-browser open cloud-sync-restore-tree');
  private readonly asOf = element('input').attr({ type: 'datetime-local', id: 'cloud-sync-restore-asof' });
  private readonly path = element('input').attr({
    type: 'text',
    id: 'cloud-sync-restore-path',
    placeholder: '/srv/restored',
    spellcheck: 'false',
  });
  private readonly mode = element('input').attr({ type: 'hidden', id: 'node-input-restoreMode' });
  private readonly chosen = element('div', 'cloud-sync-hint').attr({ role: 'status', 'aria-live': 'polite' });
  readonly problem = element('div', 'cloud-sync-hint').attr({ role: 'alert' });

  constructor(private readonly taskId: string) {
    const target = element('div', 'cloud-sync-with-button');
    const browse = button(t('restore.browse'), 'folder-open-o', () => undefined).attr(
      'aria-expanded',
      'false',
    );
    browse.removeClass('red-ui-button-small');
    const panel = element('div', 'cloud-sync-browser');
    target.append(this.path, browse);
    const choice = element('div', 'cloud-sync-choice').attr({
      'data-input': 'restoreMode',
      role: 'radiogroup',
      'aria-label': t('restore.mode'),
    });
    const consequence = element('div', 'cloud-sync-hint').attr({ role: 'status', 'aria-live': 'polite' });
    this.root.append(
      row(t('restore.asOf'), this.asOf, element('div', 'cloud-sync-hint', t('restore.asOfHint'))),
      element('div', 'form-row').append(element('label', '', t('restore.files')), this.tree, this.chosen),
      row(t('restore.path'), target, panel),
      element('div', 'form-row').append(
        element('label', '', t('restore.mode')),
        choice,
        this.mode,
        consequence,
      ),
      this.problem,
    );
    const modes = [
      { value: 'copy', label: t('mode.copy'), icon: 'clone' },
      { value: 'sync', label: t('mode.sync'), icon: 'refresh' },
    ];
    const showMode = (value: string) => {
      consequence.toggleClass('cloud-sync-warning', value === 'sync').text(t(`consequence.restore.${value}`));
    };
    fillChoice(this.root, 'restoreMode', modes, showMode);
    showMode('copy');
    folderBrowser(browse, panel, this.path, localSource(post));
    this.asOf.on('change', () => void this.fill());
    void this.fill();
  }

  private get moment(): string {
    const typed = String(this.asOf.val());
    return typed === '' ? '' : new Date(typed).toISOString();
  }

  private async fill(): Promise<void> {
    this.ticked.clear();
    this.showChosen();
    this.tree.empty().append(element('div', 'cloud-sync-hint', t('browser.loading')));
    try {
      const items = await itemsOf(this.taskId, '', this.moment);
      this.tree.empty();
      if (items.length === 0) this.tree.append(element('div', 'cloud-sync-hint', t('restore.nothing')));
      const list = element('div').css({ width: '100%', height: '100%' }).appendTo(this.tree);
      list.treeList({ data: items });
      list.on('treelistselect', (_event, item: RestoreTreeItem) => {
        if (item.path === '') return;
        if (item.selected) this.ticked.set(item.path, !item.isFile);
        else this.ticked.delete(item.path);
        this.showChosen();
      });
    } catch (problem) {
      this.tree
        .empty()
        .append(element('div', 'cloud-sync-hint cloud-sync-bad', sentence(problem as Problem)));
    }
  }

  private showChosen(): void {
    const { size } = this.ticked;
    this.chosen.text(size === 0 ? t('restore.all') : t('restore.some', { count: size }));
  }

  /** Undefined, and said why, where something is missing. */
  wanted(): Wanted | undefined {
    const path = String(this.path.val()).trim();
    if (path === '') {
      this.complain(t('check.restorePath'));
      this.path.trigger('focus');
      return undefined;
    }
    const folders = new Set([...this.ticked].filter(([, isFolder]) => isFolder).map(([one]) => one));
    const paths = this.ticked.size === 0 ? undefined : [...this.ticked.keys()];
    return { path, transferMode: String(this.mode.val()), asOf: this.moment, paths, folders };
  }

  complain(text: string): void {
    this.problem.addClass('cloud-sync-bad').empty().append(icon('times'), ` ${text}`);
  }
}

/** A cloud-restore on the flow of its task, below what is there. */
function leaveNode(task: EditorNode, { path, transferMode, asOf, paths, folders }: Wanted): void {
  const { nodes } = RED.nodes.import(
    [
      {
        id: 'restore',
        type: 'cloud-restore',
        z: task.z,
        name: '',
        task: task.id,
        path,
        transferMode,
        asOf,
        include: (paths ?? []).map((one) => patternOf(one, folders.has(one))),
        exclude: [],
        allowOverrides: [],
        thaw: false,
        thawTier: '',
        thawDays: '',
        dryRun: false,
        x: Number(task.x ?? 200),
        y: Number(task.y ?? 100) + 80,
        wires: [[], [], []],
      },
    ],
    { generateIds: true, addFlow: false },
  );
  const ids = nodes.map(({ id }) => id);
  for (const node of nodes) node.changed = true;
  RED.history.push({ t: 'add', nodes: ids, dirty: RED.nodes.dirty() });
  RED.nodes.dirty(true);
  RED.view.redraw(true);
  RED.view.reveal(ids[0]!);
  RED.notify(t('restore.left'), { type: 'success', timeout: 5000 });
}

/** Opens the tray for a task that is deployed. */
export function openRestore(task: { id: string; name: string }): void {
  const form = new RestoreForm(task.id);
  const start = async (dryRun: boolean) => {
    const wanted = form.wanted();
    if (wanted === undefined) return;
    const { folders: _folders, ...body } = wanted;
    try {
      await post(`tasks/${task.id}/restore`, { ...body, dryRun });
      RED.tray.close();
      RED.sidebar.show('cloud-sync');
    } catch (problem) {
      form.complain(sentence(problem as Problem));
    }
  };
  const leave = () => {
    const wanted = form.wanted();
    const node = RED.nodes.node(task.id);
    if (wanted === undefined || !node) return;
    RED.tray.close();
    leaveNode(node, wanted);
  };
  RED.tray.show({
    title: t('restore.title', { task: task.name }),
    width: 620,
    buttons: [
      { id: 'cloud-sync-restore-cancel', text: t('restore.cancel'), click: () => RED.tray.close() },
      { id: 'cloud-sync-restore-node', text: t('restore.leave'), click: leave },
      { id: 'cloud-sync-restore-dry', text: t('sidebar.dryRun'), click: () => void start(true) },
      {
        id: 'cloud-sync-restore-now',
        text: t('restore.now'),
        class: 'primary',
        click: () => void start(false),
      },
    ],
    open: (tray) => {
      tray.find('.red-ui-tray-body').append(element('div', 'cloud-sync-tray').append(form.root));
    },
  });
}
