/** Whether two requests mean the same configuration. */

import { createHash } from 'node:crypto';
import type { RunRequest } from './task.js';

/**
 * SHA-256 of what `request` would do, secrets included, in hexadecimal. Names and what only concerns the node
 * (`whenBusy`, `staleAfter`) are left out: renaming a task must not stop its run. Equal for equal configurations,
 * whatever the order of their properties.
 */
export function configurationHash(request: Omit<RunRequest, 'runId'>): string {
  const { name: _name, whenBusy: _whenBusy, staleAfter: _staleAfter, credential, ...task } = request.task;
  const { name: _credentialName, ...reached } = credential;
  const { operation, restore, verify } = request;
  return createHash('sha256')
    .update(stableJson({ operation, task: { ...task, credential: reached }, restore, verify }))
    .digest('hex');
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
