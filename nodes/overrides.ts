/** What a message may change for one run: it may come from anywhere, so it may tighten, not loosen. */

import { CloudSyncError, shortened } from '../src/errors.js';
import { invalid, type Properties, shown, type Values } from './properties.js';

function notAllowed(field: string, message: string, advice?: string): CloudSyncError {
  return new CloudSyncError('INVALID_INPUT', message, { field, advice });
}

/** Whether `limit` lets no more through than `present`; both may be a number, a share or null (no limit). */
function isLowerOrEqual(limit: number | string | null, present: number | string | null): boolean {
  if (present === null || limit === 0) return true;
  if (limit === null || typeof limit !== typeof present) return false;
  return Number.parseFloat(String(limit)) <= Number.parseFloat(String(present));
}

/** Overrides that may go one way only. */
function checkTightens(name: string, value: unknown, present: unknown): void {
  if (name === 'dryRun' && present === true && value === false) {
    throw notAllowed(
      'dryRun',
      'msg.cloudSync.dryRun is false, but the node is set to dry run',
      'Change the node.',
    );
  }
  if (
    name === 'maxDelete' &&
    !isLowerOrEqual(value as number | string | null, present as number | string | null)
  ) {
    throw notAllowed(
      'maxDelete',
      `msg.cloudSync.maxDelete is ${shown(value)}, but the node allows ${present === null ? 'any number' : shown(present)}`,
      `A message may only lower it${typeof value === typeof present ? '' : `, as a ${typeof present === 'number' ? 'number' : 'share'} like the node's`}.`,
    );
  }
}

/**
 * The node's values with those of `msg.cloudSync` laid over them.
 * @param node what an error calls the node, for example `cloud-sync`.
 * @throws INVALID_INPUT naming the property that is unknown, not allowed, or not usable.
 */
export function applyOverrides<P extends Properties>(
  properties: P,
  values: Values<P>,
  overrides: unknown,
  allowOverrides: readonly string[],
  node: string,
): Values<P> {
  if (overrides === undefined || overrides === null) return values;
  if (typeof overrides !== 'object' || Array.isArray(overrides)) {
    throw invalid('cloudSync', `msg.cloudSync has to be an object, not ${shown(overrides)}`);
  }
  const result: Record<string, unknown> = { ...values };
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property === undefined) {
      const possible = Object.entries(properties)
        .filter(([key, { override }]) => override === 'always' || allowOverrides.includes(key))
        .map(([key]) => key);
      throw notAllowed(
        shortened(name),
        `msg.cloudSync.${shortened(name)}: a message can't set this on a ${node} node`,
        `A message may set ${possible.join(', ')} here.`,
      );
    }
    if (property.override === 'never') {
      throw notAllowed(name, `msg.cloudSync.${name}: a message may never change this`, 'Change the node.');
    }
    if (property.override === 'listed' && !allowOverrides.includes(name)) {
      throw notAllowed(
        name,
        `msg.cloudSync.${name}: this node doesn't let messages change it`,
        `Tick ${name} under "Messages may change" in the node.`,
      );
    }
    const cleared = value === null && property.default === null;
    const read = cleared || (name === 'maxDelete' && value === null) ? null : property.read(value, name);
    checkTightens(name, read, (values as Record<string, unknown>)[name]);
    result[name] = read;
  }
  return result as Values<P>;
}
