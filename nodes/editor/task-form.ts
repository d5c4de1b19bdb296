/** The dialog of cloud-sync. */

import { LISTED_OVERRIDES, TASK_PROPERTIES } from '../properties.js';
import { TYPED_TASK_PROPERTIES } from '../typed-inputs.js';
import { post } from './api.js';
import { fillChoice } from './choice.js';
import { CloudSide, remoteSource } from './cloud-side.js';
import { conflictOf } from './conflicts.js';
import { credentialOfNode } from './credential-form.js';
import { DryRunPanel } from './dry-run-panel.js';
import { FieldReasons } from './field-reasons.js';
import { folderBrowser, localSource } from './folder-browser.js';
import { field, fillTicks, isTicked, remoteOf, shownValue, showSummaries, textOf } from './form-fields.js';
import { includePicker } from './include-picker.js';
import { bandwidthList, patternList, readPatterns } from './lists.js';
import { showProviderOptions } from './provider-options.js';
import { openRecoverySheet } from './recovery-tray.js';
import { scanPanel } from './scan-panel.js';
import { prepareSchedule } from './schedule-form.js';
import { TASK_SUMMARIES } from './task-summaries.js';
import { element, icon, t } from './text.js';
import { prepareTransfers } from './transfers-choice.js';
import { TypedFields } from './typed-field.js';
import { dialogOpened, taskProblem } from './validation.js';

function showConsequence(form: JQuery): void {
  const mode = String(field('transferMode').val());
  const text = t(`consequence.${field('direction').val()}.${mode}`);
  const danger = mode === 'sync' || mode === 'move';
  const line = form.find('.cloud-sync-consequence').toggleClass('cloud-sync-warning', danger).empty();
  line.append(icon(danger ? 'warning' : 'info-circle'), ' ', element('span', '', text));
  $('#node-input-backupFolder').attr(
    'placeholder',
    t(field('direction').val() === 'pull' ? 'task.backupFolderLocal' : 'task.backupFolderRemote'),
  );
}

/** A password nobody has to think up: 32 characters, 190 bits. */
function generatePassword(): string {
  const letters = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.~';
  const bytes = crypto.getRandomValues(new Uint8Array(128));
  const fair = [...bytes].filter((byte) => byte < letters.length * 4);
  return fair
    .slice(0, 32)
    .map((byte) => letters[byte % letters.length])
    .join('');
}

/** The dialog that is open. */
class TaskForm {
  private readonly form = field('name').closest('.cloud-sync-form');
  private readonly side: CloudSide;
  private readonly typed: TypedFields;
  private readonly dryRun: DryRunPanel;

  constructor(private readonly node: EditorNode) {
    const { form } = this;
    this.typed = new TypedFields(form, node, () => this.refresh());
    dialogOpened(node);
    this.fillIn();
    this.side = new CloudSide(form, (credential) => showProviderOptions(credential?.provider as string));
    this.prepareLists();
    this.prepareTypedFields();
    const local = localSource(post);
    const remote = remoteSource(this.side);
    folderBrowser($('#cloud-sync-browse-path'), $('#cloud-sync-tree-path'), field('path'), local);
    folderBrowser($('#cloud-sync-browse-folder'), $('#cloud-sync-tree-folder'), field('folder'), remote);
    const picked = () =>
      this.isPush ? { source: local, root: textOf('path') } : { source: remote, root: this.folder };
    includePicker(
      $('#cloud-sync-pick'),
      $('#cloud-sync-tree-include'),
      $('#cloud-sync-include'),
      () => this.unpickable() ?? picked(),
      () => this.refresh(),
    );
    const buttons = form.find('.cloud-sync-check-buttons');
    const answers = form.find('.cloud-sync-check-answers');
    scanPanel(buttons, answers, () => this.unknown(['path', 'include', 'exclude']) ?? this.scanInput());
    this.dryRun = new DryRunPanel(buttons, answers, () => this.dryRunInput());
    $('#cloud-sync-sheet').on('click', () => void this.showRecoverySheet());
    $('#cloud-sync-generate').on('click', () => {
      field('encryptionPassword')
        .attr('type', 'text')
        .val(generatePassword())
        .trigger('change')
        .trigger('select');
    });
    new FieldReasons(form, Object.keys(TASK_PROPERTIES), (name) =>
      taskProblem(node, name, this.typed.valueOf(name)),
    );
    form.on('input change', () => this.refresh());
    this.refresh();
  }

  /** Everything as it stands in the dialog, as it would be saved. */
  values(): Record<string, unknown> {
    return this.typed.values(Object.keys(TASK_PROPERTIES), TYPED_TASK_PROPERTIES);
  }

  close(): void {
    this.side.close();
    this.dryRun.close();
    dialogOpened(undefined);
  }

  private get isPush(): boolean {
    return field('direction').val() !== 'pull';
  }
  private get folder(): string {
    return textOf('folder').replace(/^\/+|\/+$/g, '');
  }

  private fillIn(): void {
    const { form, node } = this;
    // A flow written by hand leaves out what it doesn't need.
    for (const name of ['enabled', 'lease']) if (node[name] === undefined) field(name).prop('checked', true);
    if (node.whenBusy === undefined) field('whenBusy').val('queue');
    if (node.maxDelete === undefined) field('maxDelete').val('50%');
    const directions = ['push', 'pull'].map((value) => ({
      value,
      label: t(`direction.${value}`),
      icon: value === 'push' ? 'cloud-upload' : 'cloud-download',
    }));
    const modes = [
      { value: 'copy', label: t('mode.copy'), icon: 'clone' },
      { value: 'sync', label: t('mode.sync'), icon: 'refresh' },
      { value: 'move', label: t('mode.move'), icon: 'share' },
    ];
    fillChoice(form, 'direction', directions, () => showConsequence(form));
    fillChoice(form, 'transferMode', modes, () => showConsequence(form));
    showConsequence(form);
    prepareSchedule(form);
    fillTicks($('#cloud-sync-overrides'), LISTED_OVERRIDES, node.allowOverrides);
  }

  private prepareLists(): void {
    const refresh = () => this.refresh();
    patternList($('#cloud-sync-exclude'), 'exclude', this.node.exclude, '*.tmp', refresh);
    patternList($('#cloud-sync-include'), 'include', this.node.include, '*.jpg', refresh);
    bandwidthList($('#cloud-sync-bandwidth'), this.node.bandwidthLimit, refresh);
    prepareTransfers($('#cloud-sync-transfers-preset'), field('transfers'), refresh);
  }

  private prepareTypedFields(): void {
    for (const name of ['path', 'bucket', 'folder']) this.typed.addField(name);
    for (const name of ['include', 'exclude']) this.typed.addList(name, $(`#cloud-sync-${name}`));
    this.typed.addList('bandwidthLimit', $('#cloud-sync-bandwidth'));
  }

  /** What is said of values that only a flow knows, where one of `names` is such a one. */
  private unknown(names: readonly string[]): string | undefined {
    return names.some((name) => this.typed.isTyped(name)) ? t('typed.later') : undefined;
  }

  /** Why no files can be ticked. */
  private unpickable(): string | undefined {
    if (!this.isPush && isTicked('encryption') && isTicked('filenameEncryption')) return t('pick.encrypted');
    return this.unknown(this.isPush ? ['path', 'include'] : ['bucket', 'folder', 'include']);
  }

  private scanInput() {
    return {
      path: textOf('path'),
      include: readPatterns($('#cloud-sync-include')),
      exclude: readPatterns($('#cloud-sync-exclude')),
    };
  }

  private dryRunInput(): object | string {
    const { credential } = this.side;
    if (credential === undefined) return t('task.addCredential');
    return {
      credential: credentialOfNode(credential),
      task: { ...this.values(), id: this.node.id },
      encryptionPassword: String(field('encryptionPassword').val()),
      encryptionSalt: String(field('encryptionSalt').val()),
    };
  }

  private refresh(): void {
    const { form, node } = this;
    form.find('.cloud-sync-needs-encryption').toggle(isTicked('encryption'));
    form.find('.cloud-sync-needs-push').toggle(this.isPush);
    form.find('.cloud-sync-needs-backup-folder').toggle(field('backupFolder').val() !== '');
    form.find('.cloud-sync-conflict').text(conflictOf({ ...this.values(), id: node.id }) ?? '');
    const { filters } = TASK_SUMMARIES;
    form.find('.cloud-sync-picked').text(filters!());
    showSummaries(form, TASK_SUMMARIES);
  }

  private async showRecoverySheet(): Promise<void> {
    const { node } = this;
    const line = $('.cloud-sync-sheet-answer');
    const complain = (text: string) => void line.addClass('cloud-sync-bad').text(text);
    const credential = this.side.credential;
    if (credential === undefined) return complain(t('task.addCredential'));
    if (field('encryptionPassword').val() === '') return complain(t('check.password'));
    const input = {
      credential: credentialOfNode(credential),
      task: node.id,
      name: String(field('name').val()) || taskLabel(node),
      bucket: String(field('bucket').val()).trim(),
      folder: String(field('folder').val()).trim(),
      encryption: isTicked('encryption'),
      filenameEncryption: isTicked('filenameEncryption'),
      encryptionPassword: String(field('encryptionPassword').val()),
      encryptionSalt: String(field('encryptionSalt').val()),
    };
    await openRecoverySheet(input, complain);
  }
}

let open: TaskForm | undefined;

export const task = {
  prepare(node: EditorNode): void {
    // A node that is deleted in its dialog closes it without a word.
    open?.close();
    open = new TaskForm(node);
  },
  save(node: EditorNode): void {
    const { include, exclude, bandwidthLimit, allowOverrides } = open!.values();
    Object.assign(node, { include, exclude, bandwidthLimit, allowOverrides });
    this.close(node);
  },
  close(_node: EditorNode): void {
    open?.close();
    open = undefined;
  },
};

/** What stands for a task without a name: where from and where to. */
export function taskLabel(node: EditorNode): string {
  const local = shownValue(node, 'path');
  const remote = remoteOf(node);
  if (local === '' || remote === '') return t('label.sync');
  return node.direction === 'pull' ? `${remote} → ${local}` : `${local} → ${remote}`;
}
