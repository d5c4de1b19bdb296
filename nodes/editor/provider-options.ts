/** What a task may say to its provider: fields that mean nothing there aren't shown, for the others there are proposals. */

import { field } from './form-fields.js';
import { element, t } from './text.js';

interface Options {
  /** Proposals; undefined: the provider has none. */
  storageClass?: readonly string[];
  serverSideEncryption?: readonly string[];
  /** MiB that are used where nothing is said; undefined: it depends. */
  chunkSize?: number;
  deleteVersions?: true;
}

const S3_OPTIONS: Options = {
  storageClass: [
    'STANDARD',
    'STANDARD_IA',
    'ONEZONE_IA',
    'INTELLIGENT_TIERING',
    'GLACIER_IR',
    'GLACIER',
    'DEEP_ARCHIVE',
  ],
  serverSideEncryption: ['AES256', 'aws:kms', 'aws:kms:dsse'],
  deleteVersions: true,
};

/** By the id of the provider. */
const OPTIONS: Readonly<Record<string, Options>> = {
  s3: S3_OPTIONS,
  b2: { chunkSize: 96, serverSideEncryption: ['AES256'], deleteVersions: true },
  'azure-blob': {
    storageClass: ['Hot', 'Cool', 'Cold', 'Archive'],
    chunkSize: 100,
    deleteVersions: true,
  },
  'google-cloud-storage': {
    storageClass: ['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'],
    deleteVersions: true,
  },
  dropbox: { chunkSize: 48 },
};

function propose(name: string, values: readonly string[] = []): void {
  const id = `cloud-sync-proposals-${name}`;
  const list = element('datalist').attr('id', id);
  for (const value of values) list.append(element('option').attr('value', value));
  $(`#${id}`).remove();
  field(name).attr('list', id).after(list);
}

/** A value that is there already stays in sight: only what is seen can be taken away. */
function showRow(name: string, isOffered: boolean): void {
  const input = field(name);
  const isUsed = input.is(':checkbox') ? input.prop('checked') === true : input.val() !== '';
  input.closest('.form-row').toggle(isOffered || isUsed);
}

/** Shows the fields that `provider` understands; undefined: none is chosen yet. */
export function showProviderOptions(provider: string | undefined): void {
  const options = OPTIONS[provider ?? 's3'] ?? S3_OPTIONS;
  propose('storageClass', options.storageClass);
  propose('serverSideEncryption', options.serverSideEncryption);
  field('chunkSize').attr('placeholder', options.chunkSize ?? t('transfers.automatic'));
  showRow('storageClass', options.storageClass !== undefined);
  showRow('serverSideEncryption', options.serverSideEncryption !== undefined);
  showRow('deleteVersions', options.deleteVersions === true);
}
