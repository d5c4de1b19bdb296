/** The dialog of cloud-restore. */

import { LISTED_RESTORE_OVERRIDES, RESTORE_PROPERTIES, TASK_PROPERTIES } from '../properties.js';
import { TYPED_RESTORE_PROPERTIES, TYPED_TASK_PROPERTIES, typePropertyOf } from '../typed-inputs.js';
import { type FolderPage, post } from './api.js';
import { fillChoice } from './choice.js';
import { credentialOfNode, STORED } from './credential-form.js';
import { DryRunPanel } from './dry-run-panel.js';
import { FieldReasons } from './field-reasons.js';
import { folderBrowser, joinRemote, localSource } from './folder-browser.js';
import { describeTask, fillTasks, showConsequence } from './follower-forms.js';
import { field, fillTicks, isTicked, remoteOf, showSummaries, textOf } from './form-fields.js';
import { includePicker, type PickerRoot } from './include-picker.js';
import { patternList, readPatterns } from './lists.js';
import { nodeById, t } from './text.js';
import { TypedFields } from './typed-field.js';
import { dialogOpened, restoreProblem } from './validation.js';

const SUMMARIES = {
  filters: () => {
    if (['include', 'exclude'].some((name) => !['', 'str'].includes(String(field(`${name}Type`).val()))))
      return t('typed.fromFlow');
    const patterns =
      readPatterns($('#cloud-sync-exclude')).length + readPatterns($('#cloud-sync-include')).length;
    return patterns === 0 ? t('summary.allFiles') : t('summary.narrowed', { count: patterns });
  },
  archive: () => (isTicked('thaw') ? t('summary.thaw') : t('summary.off')),
};

/** A secret of a node as it is in the editor: typed, or a placeholder for what is stored. */
function secretOf({ credentials }: EditorNode, name: string): string {
  if (credentials === undefined) return STORED;
  return String(credentials[name] || (credentials[`has_${name}`] ? STORED : ''));
}

/** A cloud-sync node as it is in the editor, deployed or not, in the form the server takes. */
function taskOfNode(task: EditorNode): Record<string, unknown> {
  const names = [...Object.keys(TASK_PROPERTIES), ...TYPED_TASK_PROPERTIES.map(typePropertyOf)];
  return { ...Object.fromEntries(names.map((name) => [name, task[name]])), id: task.id };
}

/** The dialog that is open. */
class RestoreForm {
  private readonly form = field('name').closest('.cloud-sync-form');
  private readonly typed: TypedFields;
  private readonly dryRun: DryRunPanel;

  constructor(private readonly node: EditorNode) {
    const { form } = this;
    this.typed = new TypedFields(form, node, () => this.refresh());
    dialogOpened(node);
    fillTasks(node, t('follower.choose'), (task) => {
      describeTask(form, task, (one) =>
        t(one.direction === 'pull' ? 'follower.pushesBack' : 'follower.from', { remote: remoteOf(one) }),
      );
    });
    const modes = [
      { value: 'copy', label: t('mode.copy'), icon: 'clone' },
      { value: 'sync', label: t('mode.sync'), icon: 'refresh' },
    ];
    const showMode = (mode: string) =>
      showConsequence(form, t(`consequence.restore.${mode}`), mode === 'sync');
    fillChoice(form, 'transferMode', modes, showMode);
    showMode(String(field('transferMode').val()));
    folderBrowser($('#cloud-sync-browse-path'), $('#cloud-sync-tree-path'), field('path'), localSource(post));
    for (const [name, example] of [
      ['exclude', '*.tmp'],
      ['include', '*.jpg'],
    ] as const) {
      patternList($(`#cloud-sync-${name}`), name, node[name], example, () => this.refresh());
    }
    this.prepareTypedFields();
    includePicker(
      $('#cloud-sync-pick'),
      $('#cloud-sync-tree-include'),
      $('#cloud-sync-include'),
      () => this.pickerRoot(),
      () => this.refresh(),
    );
    fillTicks($('#cloud-sync-overrides'), LISTED_RESTORE_OVERRIDES, node.allowOverrides);
    this.dryRun = new DryRunPanel(
      form.find('.cloud-sync-check-buttons'),
      form.find('.cloud-sync-check-answers'),
      () => this.dryRunInput(),
    );
    new FieldReasons(form, Object.keys(RESTORE_PROPERTIES), (name) =>
      restoreProblem(node, name, this.typed.valueOf(name)),
    );
    form.on('input change', () => this.refresh());
    this.refresh();
  }

  /** Everything as it stands in the dialog, as it would be saved. */
  values(): Record<string, unknown> {
    return this.typed.values(Object.keys(RESTORE_PROPERTIES), TYPED_RESTORE_PROPERTIES);
  }

  close(): void {
    this.dryRun.close();
    dialogOpened(undefined);
  }

  private prepareTypedFields(): void {
    for (const name of ['path', 'asOf']) this.typed.addField(name);
    for (const name of ['include', 'exclude']) this.typed.addList(name, $(`#cloud-sync-${name}`));
  }

  /** The backup's files, names in plain, as they were at the chosen moment. */
  private pickerRoot(): PickerRoot | string {
    const task = nodeById(field('task').val());
    if (task === undefined) return t('follower.choose');
    if (this.typed.isTyped('include') || this.typed.isTyped('asOf')) return t('typed.later');
    const list = (folder: string, after?: string) =>
      post<FolderPage>(`tasks/${task.id}/folder`, { folder, after, asOf: textOf('asOf') });
    return { source: { list, join: joinRemote }, root: '' };
  }

  private dryRunInput(): object | string {
    const task = nodeById(field('task').val());
    if (task === undefined) return t('follower.choose');
    const credential = nodeById(task.credential);
    if (credential === undefined) return t('task.addCredential');
    return {
      credential: credentialOfNode(credential),
      task: taskOfNode(task),
      encryptionPassword: secretOf(task, 'encryptionPassword'),
      encryptionSalt: secretOf(task, 'encryptionSalt'),
      restore: { ...this.values(), id: this.node.id },
    };
  }

  private refresh(): void {
    this.form.find('.cloud-sync-picked').text(SUMMARIES.filters());
    this.form.find('.cloud-sync-needs-thaw').toggle(isTicked('thaw'));
    showSummaries(this.form, SUMMARIES);
  }
}

let open: RestoreForm | undefined;

export const restore = {
  prepare(node: EditorNode): void {
    // A node that is deleted in its dialog closes it without a word.
    open?.close();
    open = new RestoreForm(node);
  },
  save(node: EditorNode): void {
    const { include, exclude, allowOverrides } = open!.values();
    Object.assign(node, { include, exclude, allowOverrides });
    this.close(node);
  },
  close(_node: EditorNode): void {
    open?.close();
    open = undefined;
  },
};
