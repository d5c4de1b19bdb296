/** The dialog of cloud-credential: fields from the provider table, and 'Verify' for what stands in them. */

import { PROVIDERS, type ProviderDescription, type ProviderField } from '../../src/stores/registry.js';
import { type Problem, post, sentence, type TypedCredential } from './api.js';
import { checkBucket } from './bucket-check.js';
import { dropboxSignIn } from './dropbox-sign-in.js';
import { showServiceHints } from './service-hints.js';
import { button, count, element, icon, t } from './text.js';

/** What Node-RED's dialogs show for a stored password; sent back, it means 'the stored one'. */
export const STORED = '__PWRD__';

/** Everyday fields first, in this order; what few need is folded away. */
const ORDER = [
  'preset',
  'endpoint',
  'accountName',
  'accessKeyId',
  'secretAccessKey',
  'accountKey',
  'sasToken',
  'region',
  'appKey',
];
const SELDOM = ['sessionToken', 'forcePathStyle', 'maxUploadParts', 'caCertificate'];
/** Providers that are one place in the world: an endpoint is for tests and gateways. */
const ONE_PLACE = ['b2', 'google-cloud-storage', 'dropbox'];
/** Of Dropbox: who signs in needs none of them. */
const BESIDE_SIGN_IN = ['appSecret', 'accessToken'];

function providerOf(id: unknown): ProviderDescription {
  return PROVIDERS.find((provider) => provider.id === id) ?? PROVIDERS[0]!;
}

function rank({ name }: ProviderField): number {
  const place = ORDER.indexOf(name);
  return place < 0 ? ORDER.length : place;
}

/** The node as it is in the editor, deployed or not. Secrets the browser never had are sent as placeholders. */
export function credentialOfNode(node: EditorNode): TypedCredential {
  const provider = providerOf(node.provider);
  const config: Record<string, unknown> = {};
  const secrets: Record<string, unknown> = {};
  for (const { name, secret } of provider.fields) {
    if (!secret) config[name] = node[name];
    else if (node.credentials === undefined) secrets[name] = STORED;
    else secrets[name] = node.credentials[name] || (node.credentials[`has_${name}`] ? STORED : '');
  }
  return { id: node.id, name: node.name ?? '', provider: provider.id, config, secrets };
}

/** What stands for a credential without a name: the provider, and where it is. */
export function credentialLabel(node: EditorNode): string {
  const endpoint = String(node.endpoint ?? '').replace(/^https?:\/\//, '');
  return endpoint === ''
    ? providerOf(node.provider).label
    : `${providerOf(node.provider).label}: ${endpoint}`;
}

function input(name: string): JQuery {
  return $(`#node-config-input-${name}`);
}

function savedValue(node: EditorNode, field: ProviderField): string {
  if (!field.secret) return String(node[field.name] ?? '');
  const typed = node.credentials?.[field.name];
  if (typed) return String(typed);
  return node.credentials?.[`has_${field.name}`] ? STORED : '';
}

function control(field: ProviderField): JQuery {
  switch (field.type) {
    case 'select': {
      const select = element('select');
      select.append(element('option', '', t('form.none')).attr('value', ''));
      for (const { value, label } of field.choices ?? [])
        select.append(element('option', '', label).attr('value', value));
      return select;
    }
    case 'boolean': {
      const select = element('select');
      for (const value of ['', 'true', 'false']) {
        select.append(element('option', '', t(`form.choice.${value || 'automatic'}`)).attr('value', value));
      }
      return select;
    }
    case 'multiline':
      return element('textarea').attr({ rows: 4, spellcheck: 'false' });
    case 'number':
      return element('input').attr({ type: 'number', min: 1 }).addClass('cloud-sync-short');
    case 'password':
      return element('input').attr({ type: 'password', autocomplete: 'new-password' });
    default:
      return element('input').attr({ type: 'text', spellcheck: 'false', autocomplete: 'off' });
  }
}

function fieldRow(node: EditorNode, field: ProviderField): JQuery {
  const id = `node-config-input-${field.name}`;
  const entry = control(field).attr('id', id).val(savedValue(node, field));
  const placeholder = field.placeholder ?? t(`field.${field.name}.placeholder`, { defaultValue: '' });
  if (placeholder !== '') entry.attr('placeholder', placeholder);
  const label = element('label', '', t(`field.${field.name}.label`, { defaultValue: field.name })).attr(
    'for',
    id,
  );
  const hint = t(`field.${field.name}.hint`, { defaultValue: '' });
  const row = element('div', 'form-row').append(label, entry);
  if (hint !== '') row.append(element('div', 'cloud-sync-hint', hint).attr('id', `${id}-hint`));
  return row.attr('data-field', field.name);
}

/** A select without choices offers nothing. */
function isOffered(field: ProviderField): boolean {
  return field.type !== 'select' || (field.choices?.length ?? 0) > 0;
}

function buildFields(node: EditorNode, provider: ProviderDescription, box: JQuery): void {
  box.empty();
  const fields = provider.fields.filter(isOffered).toSorted((one, other) => rank(one) - rank(other));
  const isSeldom = ({ name }: ProviderField) =>
    SELDOM.includes(name) ||
    (name === 'endpoint' && ONE_PLACE.includes(provider.id)) ||
    BESIDE_SIGN_IN.includes(name);
  for (const field of fields) if (!isSeldom(field)) box.append(fieldRow(node, field));
  const seldom = fields.filter(isSeldom);
  if (seldom.length === 0) return;
  const used = seldom.some((field) => savedValue(node, field) !== '');
  const details = element('details', 'cloud-sync-section').prop('open', used);
  details.append(element('summary', '', t('form.seldom')));
  box.append(details.append(...seldom.map((field) => fieldRow(node, field))));
}

/** What a provider's form has beyond its fields. */
function addExtras(node: EditorNode, provider: ProviderDescription): void {
  if (provider.id === 's3') showServiceHints(input('preset'), input('endpoint'), input('region'));
  if (provider.id !== 'dropbox') return;
  const fields = {
    appKey: input('appKey'),
    endpoint: input('endpoint'),
    caCertificate: input('caCertificate'),
    refreshToken: input('refreshToken'),
    accessToken: input('accessToken'),
  };
  const row = dropboxSignIn(fields, () => void verify(node, form()));
  fields.appKey.closest('.form-row').after(row);
}

/** What stands in the dialog now. */
function typedCredential(node: EditorNode): TypedCredential {
  const provider = providerOf(input('provider').val());
  const config: Record<string, unknown> = {};
  const secrets: Record<string, unknown> = {};
  for (const { name, secret } of provider.fields.filter(isOffered)) {
    (secret ? secrets : config)[name] = input(name).val();
  }
  return { id: node.id, name: String(input('name').val()), provider: provider.id, config, secrets };
}

interface CredentialCheck {
  account?: string;
  bucketCount?: number;
  notes: string[];
  abilities?: string[];
  confinedTo?: { buckets?: string[]; prefix?: string };
}

function showAnswer(answer: JQuery, good: boolean, lines: string[]): void {
  answer.removeClass('cloud-sync-good cloud-sync-bad').addClass(good ? 'cloud-sync-good' : 'cloud-sync-bad');
  answer.empty().append(icon(good ? 'check-circle' : 'times-circle'));
  const words = element('div').appendTo(answer);
  for (const line of lines) words.append(element('div', '', line));
  answer[0]?.scrollIntoView({ block: 'nearest' });
}

/** Amazon's canonical ids have 64 characters, of which nobody reads more than a few. */
function shortened(account: string): string {
  return account.length > 40 ? `${account.slice(0, 16)}…${account.slice(-4)}` : account;
}

/** What a good answer says, in words. */
export function describeCheck(check: CredentialCheck): string[] {
  const parts = [t('verify.valid')];
  if (check.account) parts.push(t('verify.account', { account: shortened(check.account) }));
  if (check.bucketCount !== undefined) parts.push(count('bucket', check.bucketCount));
  const lines = [parts.join(' · ')];
  if (check.abilities !== undefined) {
    lines.push(
      t('verify.may', { abilities: check.abilities.map((name) => t(`ability.${name}`)).join(', ') }),
    );
  }
  const { buckets, prefix } = check.confinedTo ?? {};
  if (buckets !== undefined) lines.push(t('verify.onlyBuckets', { buckets: buckets.join(', ') }));
  if (prefix) lines.push(t('verify.onlyPrefix', { prefix }));
  return [...lines, ...check.notes];
}

/** Below a good answer: what the key may do can only be told in a bucket. */
function offerBucketTest(node: EditorNode, answer: JQuery, suggested: string): void {
  const provider = providerOf(input('provider').val());
  const result = element('div', 'cloud-sync-hint').attr({ role: 'status', 'aria-live': 'polite' });
  const bucket = element('input').attr({
    type: 'text',
    placeholder: t('bucket.name'),
    'aria-label': t('bucket.name'),
    spellcheck: 'false',
  });
  bucket.val(suggested);
  const test = button(t('bucket.test'), 'check-square-o', () => {
    const name = String(bucket.val()).trim();
    if (name !== '' || !provider.hasBuckets) void checkBucket(result, typedCredential(node), name);
    else bucket.trigger('focus');
  });
  const line = element('div', 'cloud-sync-with-button cloud-sync-bucket-test');
  answer
    .find('> div')
    .append(line.append(...(provider.hasBuckets ? [bucket] : []), test.attr('title', t('bucket.testHint'))))
    .append(result);
}

/** The bucket that a task with this credential uses. */
function usedBucket(node: EditorNode): string {
  const task = RED.nodes.filterNodes({ type: 'cloud-sync' }).find((one) => one.credential === node.id);
  return String(task?.bucket ?? '');
}

async function verify(node: EditorNode, form: JQuery): Promise<void> {
  const answer = form.find('.cloud-sync-answer').removeClass('cloud-sync-good cloud-sync-bad');
  answer.empty().append(icon('spinner fa-spin'), element('div', '', t('verify.asking')));
  const press = form.find('.cloud-sync-verify button').prop('disabled', true);
  form.find('.cloud-sync-faulty').removeClass('cloud-sync-faulty');
  try {
    const check = await post<CredentialCheck>('credential/verify', { credential: typedCredential(node) });
    showAnswer(answer, true, describeCheck(check));
    offerBucketTest(node, answer, check.confinedTo?.buckets?.[0] ?? usedBucket(node));
  } catch (error) {
    const problem = error as Problem;
    showAnswer(answer, false, [sentence(problem)]);
    if (problem.field !== undefined) input(problem.field).addClass('cloud-sync-faulty').trigger('focus');
  } finally {
    press.prop('disabled', false);
  }
}

function form(): JQuery {
  return input('provider').closest('.cloud-sync-form');
}

export const credential = {
  prepare(node: EditorNode): void {
    const select = input('provider');
    for (const { id, label } of PROVIDERS) select.append(element('option', '', label).attr('value', id));
    select.val(providerOf(node.provider).id);
    const box = form().find('.cloud-sync-fields');
    const build = (provider: ProviderDescription) => {
      buildFields(node, provider, box);
      addExtras(node, provider);
    };
    build(providerOf(node.provider));
    select.on('change', () => build(providerOf(select.val())));
    box.on('input change', () =>
      form().find('.cloud-sync-answer').empty().removeClass('cloud-sync-good cloud-sync-bad'),
    );
    form()
      .find('.cloud-sync-verify button')
      .on('click', () => void verify(node, form()));
  },
  save(_node: EditorNode): void {},
  close(_node: EditorNode): void {},
};
