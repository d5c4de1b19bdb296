/** The dialog of cloud-sync. */

import { PROVIDERS } from '../../src/stores/registry.js';
import { LISTED_OVERRIDES } from '../properties.js';
import { type FolderPage, type Problem, post, sentence } from './api.js';
import { checkBucket } from './bucket-check.js';
import { fillChoice } from './choice.js';
import { conflictOf } from './conflicts.js';
import { credentialOfNode } from './credential-form.js';
import { folderBrowser, localSource } from './folder-browser.js';
import { includePicker } from './include-picker.js';
import { bandwidthList, patternList, readBandwidth, readPatterns } from './lists.js';
import { openRecoverySheet } from './recovery-tray.js';
import { scanPanel } from './scan-panel.js';
import { prepareSchedule, scheduleSummary } from './schedule-form.js';
import { button, count, element, icon, nodeById, t } from './text.js';
import { prepareTransfers } from './transfers-choice.js';

interface Bucket {
  name: string;
}

function field(name: string): JQuery {
  return $(`#node-input-${name}`);
}

function isTicked(name: string): boolean {
  return field(name).prop('checked') === true;
}

/** A line below a field: good, bad or neutral. */
function say(line: JQuery, look: '' | 'good' | 'bad', text: string, iconName = ''): JQuery {
  line.removeClass('cloud-sync-good cloud-sync-bad').empty();
  if (look !== '') line.addClass(`cloud-sync-${look}`);
  if (iconName !== '') line.append(icon(iconName), ' ');
  return line.append(element('span', '', text));
}

/** What the chosen credential and bucket are like, asked at once. */
class CloudSide {
  private buckets: string[] | undefined;
  /** Answers to questions that were overtaken are dropped. */
  private question = 0;
  /** What stands below the bucket: drawn again only if it is another, so that no button vanishes under a click. */
  private shownBucket = '';
  /** The credential as it was asked for, in JSON. */
  private asked = '';
  // Held, because the page is taken out of the document while another dialog lies over it.
  private readonly credentialInput = field('credential');
  private readonly bucketInput = field('bucket');
  private readonly onSave = (node: EditorNode) => {
    if (node.id === this.credential?.id) void this.askBuckets();
  };

  constructor(private readonly form: JQuery) {
    this.credentialInput.on('change', () => void this.askBuckets());
    this.bucketInput.on('input change', () => this.showBucket());
    form.find('#cloud-sync-list-buckets').on('click', (event) => {
      event.preventDefault();
      this.offerBuckets();
    });
    RED.events.on('editor:save', this.onSave);
    void this.askBuckets();
  }

  close(): void {
    RED.events.off('editor:save', this.onSave);
    this.question++;
  }

  get credential(): EditorNode | undefined {
    return nodeById(this.credentialInput.val());
  }
  get bucket(): string {
    return String(this.bucketInput.val()).trim();
  }

  private get credentialLine(): JQuery {
    return this.form.find('.cloud-sync-credential-state');
  }
  private get bucketLine(): JQuery {
    return this.form.find('.cloud-sync-bucket-state');
  }

  private async askBuckets(): Promise<void> {
    const node = this.credential;
    const asked = node === undefined ? 'none' : JSON.stringify(credentialOfNode(node));
    if (asked === this.asked) return;
    this.asked = asked;
    const question = ++this.question;
    this.buckets = undefined;
    this.showBucket();
    if (node === undefined) {
      say(this.credentialLine, '', t('task.addCredential'));
      return;
    }
    const hasBuckets = PROVIDERS.find(({ id }) => id === node.provider)?.hasBuckets !== false;
    this.form.find('.cloud-sync-bucket-row').toggle(hasBuckets);
    say(this.credentialLine, '', t('verify.asking'), 'spinner fa-spin');
    try {
      const body = { credential: credentialOfNode(node) };
      const { buckets } = await post<{ buckets: Bucket[] }>('buckets', body);
      if (question !== this.question) return;
      this.buckets = buckets.map(({ name }) => name);
      say(this.credentialLine, 'good', `${t('verify.valid')} · ${count('bucket', buckets.length)}`, 'check');
    } catch (error) {
      if (question !== this.question) return;
      this.showCredentialProblem(node, error as Problem);
    }
    this.showBucket();
  }

  private showCredentialProblem(node: EditorNode, problem: Problem): void {
    // A key that may not list buckets is no bad key: the bucket is typed, and asked for itself.
    if (problem.code === 'NO_PERMISSION') {
      say(this.credentialLine, 'good', t('task.mayNotList'), 'check');
      return;
    }
    say(this.credentialLine, 'bad', sentence(problem), 'times').append(
      ' ',
      button(t('task.fixCredential'), 'pencil', () => {
        RED.editor.editConfig('credential', 'cloud-credential', node.id);
      }),
    );
  }

  private showBucket(): void {
    const { bucket } = this;
    const isKnown = this.buckets?.includes(bucket);
    const shown = `${isKnown} ${bucket}`;
    if (shown === this.shownBucket) return;
    this.shownBucket = shown;
    if (bucket === '' || this.credential === undefined) {
      say(this.bucketLine, '', '');
    } else if (isKnown === undefined) {
      say(this.bucketLine, '', '').append(this.testButton());
    } else if (isKnown) {
      say(this.bucketLine, 'good', t('task.bucketFound'), 'check').append(' ', this.testButton());
    } else {
      say(this.bucketLine, '', t('task.bucketMissing', { bucket })).append(
        ' ',
        button(t('task.createBucket', { bucket }), 'plus', () => void this.create(bucket)),
      );
    }
  }

  private testButton(): JQuery {
    return button(t('bucket.test'), 'check-square-o', () => {
      const node = this.credential;
      if (node === undefined) return;
      const folder = String(field('folder').val());
      void checkBucket(this.bucketLine, credentialOfNode(node), this.bucket, folder);
    }).attr('title', t('bucket.testHint'));
  }

  private async create(bucket: string): Promise<void> {
    const node = this.credential;
    if (node === undefined) return;
    say(this.bucketLine, '', t('task.creating'), 'spinner fa-spin');
    try {
      await post('buckets/create', { credential: credentialOfNode(node), bucket, region: node.region ?? '' });
      this.buckets?.push(bucket);
      this.shownBucket = `true ${bucket}`;
      say(this.bucketLine, 'good', t('task.created', { bucket }), 'check');
    } catch (error) {
      say(this.bucketLine, 'bad', sentence(error as Problem), 'times');
    }
  }

  private offerBuckets(): void {
    if (this.buckets === undefined || this.buckets.length === 0) {
      say(this.bucketLine, '', t(this.buckets === undefined ? 'task.noList' : 'task.noBuckets'));
      return;
    }
    const target = this.bucketInput;
    RED.popover
      .menu({
        options: this.buckets.map((name) => ({ value: name, label: name })),
        width: Math.max(200, target.outerWidth() ?? 0),
        maxHeight: 240,
        onselect: ({ value }) => target.val(value).trigger('change'),
      })
      .show({ target });
  }
}

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

/** What a folded section holds, in a few words. */
const SUMMARIES: Record<string, () => string> = {
  schedule: () => scheduleSummary(String(field('schedule').val()), isTicked('enabled')),
  filters: () => {
    const excluded = readPatterns($('#cloud-sync-exclude')).length;
    const included = readPatterns($('#cloud-sync-include')).length;
    const parts = [];
    if (excluded > 0) parts.push(t('summary.excluded', { count: excluded }));
    if (included > 0) parts.push(t('summary.included', { count: included }));
    return parts.join(' · ') || t('summary.allFiles');
  },
  safety: () => {
    const limit = String(field('maxDelete').val()).trim();
    const parts = [limit === '' ? t('summary.noLimit') : t('summary.maxDelete', { limit })];
    if (field('transferMode').val() === 'copy') parts.splice(0, 1, t('summary.neverDeletes'));
    if (field('backupFolder').val() !== '') parts.push(t('summary.keepsReplaced'));
    if (isTicked('dryRun')) parts.push(t('summary.dryRun'));
    return parts.join(' · ');
  },
  transfer: () => {
    const transfers = String(field('transfers').val());
    const rows = readBandwidth($('#cloud-sync-bandwidth')).length;
    const parts = [transfers === '' ? t('summary.automatic') : count('transfer', Number(transfers))];
    parts.push(rows === 0 ? t('summary.fullSpeed') : t('summary.limited'));
    return parts.join(' · ');
  },
  encryption: () => {
    if (!isTicked('encryption')) return t('summary.off');
    return t(isTicked('filenameEncryption') ? 'summary.contentAndNames' : 'summary.content');
  },
  advanced: () => {
    const parts = [];
    for (const name of ['storageClass', 'serverSideEncryption'])
      if (field(name).val()) parts.push(field(name).val());
    if (isTicked('snapshot')) parts.push(t('summary.snapshot'));
    if (field('preScript').val() || field('postScript').val()) parts.push(t('summary.scripts'));
    return parts.join(' · ');
  },
};

export function showSummaries(form: JQuery, summaries: Record<string, () => string>): void {
  for (const [name, summary] of Object.entries(summaries)) {
    form.find(`[data-section="${name}"] .cloud-sync-summary`).text(summary());
  }
}

/** A tick box for each name; `chosen` are ticked. */
export function fillTicks(box: JQuery, names: readonly string[], chosen: unknown): void {
  box.empty();
  for (const name of names) {
    const tick = element('input').attr({ type: 'checkbox', value: name });
    tick.prop('checked', Array.isArray(chosen) && chosen.includes(name));
    box.append(element('label').append(tick, ' ', element('code', '', name)));
  }
}

export function readTicks(box: JQuery): string[] {
  return box
    .find('input:checked')
    .toArray()
    .map((tick) => String($(tick).val()));
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

function remoteSource(side: CloudSide) {
  return {
    list: (folder: string, after?: string): Promise<FolderPage> => {
      const { credential: node, bucket } = side;
      if (node === undefined)
        return Promise.reject({ code: 'INVALID_INPUT', message: t('task.addCredential') });
      if (bucket === '') return Promise.reject({ code: 'INVALID_INPUT', message: t('check.bucket') });
      return post('folder', { credential: credentialOfNode(node), bucket, folder, after });
    },
    join: (parent: string, name: string) => (parent === '' ? name : `${parent}/${name}`),
  };
}

async function showRecoverySheet(node: EditorNode): Promise<void> {
  const line = $('.cloud-sync-sheet-answer');
  const complain = (text: string) => void line.addClass('cloud-sync-bad').text(text);
  const credential = cloudSide?.credential;
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

/** Of the dialog that is open. */
let cloudSide: CloudSide | undefined;

export const task = {
  prepare(node: EditorNode): void {
    const form = field('name').closest('.cloud-sync-form');
    const refresh = () => showSummaries(form, SUMMARIES);
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
    cloudSide = new CloudSide(form);
    folderBrowser($('#cloud-sync-browse-path'), $('#cloud-sync-tree-path'), field('path'), localSource(post));
    folderBrowser(
      $('#cloud-sync-browse-folder'),
      $('#cloud-sync-tree-folder'),
      field('folder'),
      remoteSource(cloudSide),
    );
    prepareSchedule(form);
    patternList($('#cloud-sync-exclude'), node.exclude, '*.tmp', refresh);
    patternList($('#cloud-sync-include'), node.include, '*.jpg', refresh);
    bandwidthList($('#cloud-sync-bandwidth'), node.bandwidthLimit, refresh);
    prepareTransfers($('#cloud-sync-transfers-preset'), field('transfers'), refresh);
    includePicker(
      $('#cloud-sync-pick'),
      $('#cloud-sync-tree-include'),
      $('#cloud-sync-include'),
      () => String(field('path').val()).trim(),
      refresh,
    );
    scanPanel(form.find('.cloud-sync-scan-panel'), () => ({
      path: String(field('path').val()).trim(),
      include: readPatterns($('#cloud-sync-include')),
      exclude: readPatterns($('#cloud-sync-exclude')),
    }));
    $('#cloud-sync-sheet').on('click', () => void showRecoverySheet(node));
    fillTicks($('#cloud-sync-overrides'), LISTED_OVERRIDES, node.allowOverrides);
    $('#cloud-sync-generate').on('click', () => {
      field('encryptionPassword')
        .attr('type', 'text')
        .val(generatePassword())
        .trigger('change')
        .trigger('select');
    });
    const showDependent = () => {
      form.find('.cloud-sync-needs-encryption').toggle(isTicked('encryption'));
      form.find('.cloud-sync-needs-push').toggle(field('direction').val() !== 'pull');
      form.find('.cloud-sync-conflict').text(
        conflictOf({
          id: node.id,
          direction: String(field('direction').val()),
          transferMode: String(field('transferMode').val()),
          path: String(field('path').val()),
        }) ?? '',
      );
      form.find('.cloud-sync-needs-backup-folder').toggle(field('backupFolder').val() !== '');
    };
    form.on('input change', () => {
      showDependent();
      refresh();
    });
    showDependent();
    refresh();
  },
  save(node: EditorNode): void {
    node.include = readPatterns($('#cloud-sync-include'));
    node.exclude = readPatterns($('#cloud-sync-exclude'));
    node.bandwidthLimit = readBandwidth($('#cloud-sync-bandwidth'));
    node.allowOverrides = readTicks($('#cloud-sync-overrides'));
    cloudSide?.close();
  },
  close(_node: EditorNode): void {
    cloudSide?.close();
  },
};

/** What stands for a task without a name: where from and where to. */
export function taskLabel(node: EditorNode): string {
  const local = String(node.path ?? '');
  const remote = [node.bucket, node.folder].filter((part) => part).join('/');
  if (local === '' || remote === '') return t('label.sync');
  return node.direction === 'pull' ? `${remote} → ${local}` : `${local} → ${remote}`;
}
