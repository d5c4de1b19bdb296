/** Taking secrets out of text that leaves a run: errors, logs, the last words of a process. */

import { providerById } from '../stores/registry.js';
import type { RunRequest, TaskCredential } from './task.js';

/** Shorter ones would hide ordinary words. */
const SHORTEST = 4;
const HIDDEN = '***';

/** Replaces every occurrence of the secrets it was made with. */
export type Scrub = (text: string) => string;

/** The secrets of `request`: plain, in base64 and URL-encoded. */
export function scrubberOf(request: RunRequest): Scrub {
  const { task } = request;
  return scrubber([
    ...secretsOf(task.credential),
    ...[task.encryptionPassword, task.encryptionSalt].filter((secret) => secret !== undefined),
  ]);
}

/** The secrets of `credential`. Key ids and account names are no secrets: reports name them. */
export function secretsOf(credential: TaskCredential): string[] {
  let shown: readonly string[] = [];
  try {
    shown = providerById(credential.provider)
      .fields.filter((field) => field.type === 'text')
      .map((field) => field.name);
  } catch {
    // An unknown provider: everything is a secret.
  }
  const secrets: string[] = [];
  for (const [name, value] of Object.entries(credential.secrets)) {
    if (value === undefined || shown.includes(name)) continue;
    secrets.push(value, ...secretsInJson(value));
  }
  return secrets;
}

/** A service account key or a token is JSON text: what is secret in it may turn up alone. */
function secretsInJson(text: string): string[] {
  if (!text.trimStart().startsWith('{')) return [];
  try {
    const parsed = JSON.parse(text) as Record<string, unknown>;
    const names = ['private_key', 'private_key_id', 'refresh_token', 'access_token', 'client_secret'];
    return names.map((name) => parsed[name]).filter((value) => typeof value === 'string');
  } catch {
    return [];
  }
}

/**
 * What `text` is in base64, alone or with something before and behind it, as in `Basic` of HTTP: three forms, by the bytes
 * before it. Their first and last characters hold bits of the neighbours and are left out.
 */
function base64FormsOf(text: string): string[] {
  const whole = Buffer.from(text).toString('base64');
  const within = [0, 1, 2].map((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]).toString('base64');
    return padded.replace(/=+$/, '').slice(before === 0 ? 0 : before + 1, -1);
  });
  const forms = [whole, whole.replace(/=+$/, ''), ...within.filter((form) => form.length >= SHORTEST)];
  return forms.flatMap((form) => [form, form.replaceAll('+', '-').replaceAll('/', '_')]);
}

export function scrubber(secrets: readonly string[]): Scrub {
  const forms = new Set<string>();
  for (const secret of secrets) {
    for (const form of [secret, secret.trim()]) {
      if (form.length < SHORTEST) continue;
      forms.add(form);
      for (const base64 of base64FormsOf(form)) forms.add(base64);
      forms.add(encodeURIComponent(form));
      forms.add(JSON.stringify(form).slice(1, -1));
      // Text is often handled line by line.
      for (const line of form.split('\n')) if (line.trim().length >= 16) forms.add(line.trim());
    }
  }
  if (forms.size === 0) return (text) => text;
  // Longest first, so that no part of a longer form is left over.
  const alternatives = [...forms].sort((a, b) => b.length - a.length).map(escapePattern);
  const pattern = new RegExp(alternatives.join('|'), 'g');
  return (text) => text.replace(pattern, HIDDEN);
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
