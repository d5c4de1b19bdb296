/** The side of the provider in the dialog of cloud-sync: is the credential right, which buckets and folders are there. */

import { PROVIDERS } from '../../src/stores/registry.js';
import { type FolderPage, type Problem, post, sentence } from './api.js';
import { checkBucket } from './bucket-check.js';
import { credentialOfNode } from './credential-form.js';
import { type FolderSource, joinRemote } from './folder-browser.js';
import { field, say } from './form-fields.js';
import { button, count, nodeById, t } from './text.js';

interface Bucket {
  name: string;
}

/** What the chosen credential and bucket are like, asked at once. */
export class CloudSide {
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

  /** @param onCredential told which credential is chosen, at first and whenever it is another or was changed */
  constructor(
    private readonly form: JQuery,
    private readonly onCredential: (credential: EditorNode | undefined) => void,
  ) {
    this.credentialInput.on('change', () => void this.askBuckets());
    this.bucketInput.on('input change', () => this.showBucket());
    form.find('#node-input-bucketType').on('change', () => this.showBucket());
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

  /** The bucket's name comes from a flow, so there is none yet. */
  get isBucketTyped(): boolean {
    return !['', 'str'].includes(String(this.form.find('#node-input-bucketType').val() ?? ''));
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
    this.onCredential(node);
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
    const shown = `${isKnown} ${this.isBucketTyped} ${bucket}`;
    if (shown === this.shownBucket) return;
    this.shownBucket = shown;
    if (bucket === '' || this.isBucketTyped || this.credential === undefined) {
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
      this.shownBucket = `true false ${bucket}`;
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

/** Folders of the bucket that stands in the dialog. */
export function remoteSource(side: CloudSide): FolderSource {
  return {
    list: (folder: string, after?: string): Promise<FolderPage> => {
      const { credential: node, bucket } = side;
      if (node === undefined)
        return Promise.reject({ code: 'INVALID_INPUT', message: t('task.addCredential') });
      if (side.isBucketTyped) return Promise.reject({ code: 'INVALID_INPUT', message: t('typed.later') });
      if (bucket === '') return Promise.reject({ code: 'INVALID_INPUT', message: t('check.bucket') });
      return post('folder', { credential: credentialOfNode(node), bucket, folder, after });
    },
    join: joinRemote,
  };
}
