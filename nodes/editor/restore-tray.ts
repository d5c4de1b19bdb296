/** 'Restore…' of the sidebar: files of the backup in a tree, as they are or were, a target and a mode. */

import { type Problem, post, sentence } from './api.js';
import { fillChoice } from './choice.js';
import { folderBrowser, localSource } from './folder-browser.js';
import { patternOf } from './include-picker.js';
import { MomentChoice } from './restore-moments.js';
import { RestoreTree } from './restore-tree.js';
import { button, element, icon, t } from './text.js';

/** What the tray says the restore is to be. */
interface Wanted {
  path: string;
  transferMode: string;
  asOf: string;
  /** Ticked, relative to the task's folder; a folder stands for all that is in it. Undefined: everything. */
  paths: string[] | undefined;
}

function row(label: string, ...content: JQuery[]): JQuery {
  const id = content[0]!.is('input')
    ? content[0]!.attr('id')
    : content[0]!.find('input, select').first().attr('id');
  const title = element('label', '', label);
  if (id !== undefined) title.attr('for', id);
  return element('div', 'form-row').append(title, ...content);
}

class RestoreForm {
  readonly root = element('div', 'cloud-sync-form cloud-sync-restore');
  readonly tree: RestoreTree;
  private readonly state: MomentChoice;
  private readonly path = element('input').attr({
    type: 'text',
    id: 'cloud-sync-restore-path',
    placeholder: '/srv/restored',
    spellcheck: 'false',
  });
  private readonly mode = element('input').attr({ type: 'hidden', id: 'node-input-restoreMode' });
  private readonly chosen = element('div', 'cloud-sync-hint').attr({ role: 'status', 'aria-live': 'polite' });
  readonly problem = element('div', 'cloud-sync-hint').attr({ role: 'alert' });

  constructor(taskId: string) {
    this.tree = new RestoreTree(taskId, (count) => {
      this.chosen.text(count === 0 ? t('restore.all') : t('restore.some', { count }));
    });
    this.state = new MomentChoice(taskId, () => {
      const { moment } = this.state;
      if (moment !== undefined) void this.tree.fill(moment);
    });
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
      row(t('restore.asOf'), this.state.root, element('div', 'cloud-sync-hint', t('restore.asOfHint'))),
      element('div', 'form-row').append(
        element('label', '', t('restore.files')),
        this.tree.root,
        this.chosen,
      ),
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
    void this.tree.fill('');
  }

  /** Undefined, and said why, where something is missing. */
  wanted(): Wanted | undefined {
    const path = String(this.path.val()).trim();
    if (path === '') {
      this.complain(t('check.restorePath'));
      this.path.trigger('focus');
      return undefined;
    }
    const asOf = this.state.moment;
    if (asOf === undefined) {
      this.complain(t('check.moment'));
      return undefined;
    }
    const { paths } = this.tree;
    return {
      path,
      transferMode: String(this.mode.val()),
      asOf,
      paths: paths.length === 0 ? undefined : paths,
    };
  }

  complain(text: string): void {
    this.problem.addClass('cloud-sync-bad').empty().append(icon('times'), ` ${text}`);
  }
}

/** A cloud-restore on the flow of its task, below what is there. */
function leaveNode(task: EditorNode, { path, transferMode, asOf }: Wanted, include: string[]): void {
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
        include,
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
    try {
      await post(`tasks/${task.id}/restore`, { ...wanted, dryRun });
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
    const include = (wanted.paths ?? []).map((path) => patternOf(path, form.tree.isFolder(path)));
    leaveNode(node, wanted, include);
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
