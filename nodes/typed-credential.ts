/**
 * A credential as it stands in an open dialog, not deployed yet. The browser never sees stored secrets: for them it
 * sends the placeholder that Node-RED shows, and they are put in here, unless what was typed would carry them elsewhere.
 */

import { CloudSyncError } from '../src/errors.js';
import type { TaskCredential } from '../src/runner/task.js';
import { type ProviderDescription, type ProviderField, providerById } from '../src/stores/registry.js';
import { isEmpty } from './properties.js';
import type { RED } from './requests.js';
import { readCredential, type SavedNode } from './task-settings.js';

/** What Node-RED's dialogs show for a stored password. */
export const STORED = '__PWRD__';
export const ENVIRONMENT = /^\$\{[^}]+\}$/;

/** Who is asked and as whom: with any of these changed, a stored secret has to be typed again. */
function decidesWhereSecretsGo(field: ProviderField): boolean {
  if (field.secret) return field.type === 'text';
  return !['region', 'forcePathStyle', 'maxUploadParts', 'projectId'].includes(field.name);
}

export type Fields = Readonly<Record<string, unknown>>;

export function asFields(value: unknown, field: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new CloudSyncError('INVALID_INPUT', `${field} has to be an object`, { field });
}

function sameText(one: unknown, other: unknown): boolean {
  return String(one ?? '').trim() === String(other ?? '').trim();
}

/** The deployed form, before environment variables are filled in. */
function storedNode(RED: RED, id: string): { config: Fields; secrets: Fields } | undefined {
  let config: Fields | undefined;
  RED.nodes.eachNode((node) => {
    if (node.id === id && node.type === 'cloud-credential') config = node as unknown as Fields;
  });
  if (config === undefined) return undefined;
  return { config, secrets: (RED.nodes.getCredentials(id) ?? {}) as Fields };
}

/** First field that leads elsewhere than the stored one. */
function changedField(
  provider: ProviderDescription,
  typed: { config: Fields; secrets: Fields },
  stored: { config: Fields; secrets: Fields },
): string | undefined {
  if (!sameText(stored.config.provider ?? 's3', provider.id)) return 'provider';
  return provider.fields.filter(decidesWhereSecretsGo).find(({ name, secret, required }) => {
    const kind = secret ? 'secrets' : 'config';
    // Without it nothing is sent at all, and that is what will be said.
    if (secret && required && isEmpty(typed[kind][name])) return false;
    return typed[kind][name] !== STORED && !sameText(typed[kind][name], stored[kind][name]);
  })?.name;
}

/**
 * Reads `body.credential`: `{ id, name, provider, config: {...}, secrets: {...} }`.
 * @throws INVALID_INPUT where a field can't be used, or a stored secret would go to a changed endpoint or account;
 *   CREDENTIAL_MISSING where a needed secret is empty
 */
export function readTypedCredential(RED: RED, body: Fields): TaskCredential {
  const typed = asFields(body.credential, 'credential');
  const id = typeof typed.id === 'string' ? typed.id : '';
  const provider = providerById(typed.provider ?? 's3');
  const given = {
    config: asFields(typed.config ?? {}, 'config'),
    secrets: asFields(typed.secrets ?? {}, 'secrets'),
  };
  const stored = storedNode(RED, id);
  const changed = stored === undefined ? 'id' : changedField(provider, given, stored);

  const fill = (field: ProviderField): unknown => {
    const kind = field.secret ? 'secrets' : 'config';
    const value = given[kind][field.name];
    const fromEnvironment = typeof value === 'string' && ENVIRONMENT.test(value.trim());
    if (value !== STORED && !fromEnvironment) return value;
    if (stored === undefined || (fromEnvironment && !sameText(value, stored[kind][field.name]))) {
      throw new CloudSyncError('INVALID_INPUT', `${field.name} is known only after a deploy`, {
        field: field.name,
        advice: 'Deploy first, or type the value itself.',
      });
    }
    if (changed !== undefined && field.secret) {
      throw new CloudSyncError(
        'INVALID_INPUT',
        `${field.name} is needed again, because ${changed} was changed`,
        {
          field: field.name,
          advice: 'Stored secrets are only sent where they were meant for: type it once more.',
        },
      );
    }
    const kept = stored[kind][field.name];
    return typeof kept === 'string' && ENVIRONMENT.test(kept.trim())
      ? RED.util.evaluateNodeProperty(kept.trim(), 'env', RED.nodes.getNode(id), {})
      : kept;
  };

  const config: Record<string, unknown> = {};
  const secrets: Record<string, string | undefined> = {};
  for (const field of provider.fields) {
    const value = fill(field);
    if (field.secret) secrets[field.name] = value === undefined || value === null ? undefined : String(value);
    else config[field.name] = value;
  }
  const name = typeof typed.name === 'string' ? typed.name : '';
  return readCredential({ ...config, id, name, provider: provider.id } as SavedNode, secrets);
}
