/** Conditions on writes, and where servers differ in them. */

import { CloudSyncError, hasCode } from '../../errors.js';
import type { HttpResponse } from '../http.js';
import type { WriteOptions } from '../store.js';
import type { S3Connection, S3Request } from './connection.js';
import { quote } from './objects.js';
import type { HeadObject } from './reading.js';

type Conditions = Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch'>;

/** `If-Match` and `If-None-Match` of a write; nothing where the service doesn't obey them. */
export function conditionHeaders(connection: S3Connection, conditions: Conditions): Record<string, string> {
  const { ifMatch, ifNoneMatch } = conditions;
  if (!connection.traits.conditionalWrites) return {};
  return {
    ...(ifMatch === undefined ? {} : { 'if-match': connection.comparesBareEtags ? ifMatch : quote(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { 'if-none-match': '*' }),
  };
}

/**
 * Looks whether `conditions` hold now. For copies and completed uploads, where Ceph and others ignore the headers without
 * a word: it leaves a moment in between, but what was there before is not overwritten.
 */
export async function confirmConditions(
  head: HeadObject,
  key: string,
  conditions: Conditions,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (conditions.ifMatch === undefined && conditions.ifNoneMatch === undefined) return;
  const present = await head(key, signal === undefined ? {} : { signal });
  const holds =
    conditions.ifNoneMatch !== undefined ? present === undefined : present?.etag === conditions.ifMatch;
  if (holds) return;
  throw new CloudSyncError('PRECONDITION_FAILED', `"${key}" is not as the condition asks`, { path: key });
}

/**
 * Sends a write under `conditions`. Ceph's gateway compares `If-Match` of a PUT letter by letter with an ETag that has no
 * quotes, so a condition that fails although the object has that ETag is sent once more without them.
 */
export function sendConditional(
  connection: S3Connection,
  head: HeadObject,
  request: S3Request,
  conditions: Conditions,
): Promise<HttpResponse> {
  const isUnconditional = conditions.ifMatch === undefined && conditions.ifNoneMatch === undefined;
  return isUnconditional
    ? connection.send(request)
    : sendUnderConditions(connection, head, request, conditions);
}

async function sendUnderConditions(
  connection: S3Connection,
  head: HeadObject,
  request: S3Request,
  conditions: Conditions,
): Promise<HttpResponse> {
  if (!connection.traits.conditionalWrites) {
    await confirmConditions(head, request.key!, conditions, request.signal);
    return await connection.send(request);
  }
  const send = () => {
    request.headers = { ...request.headers, ...conditionHeaders(connection, conditions) };
    return connection.send(request);
  };
  try {
    return await send();
  } catch (error) {
    const { ifMatch } = conditions;
    const isDoubtful =
      ifMatch !== undefined && !connection.comparesBareEtags && hasCode(error, 'PRECONDITION_FAILED');
    if (!isDoubtful) throw error;
    const present = await head(request.key!, request.signal === undefined ? {} : { signal: request.signal });
    if (present?.etag !== ifMatch) throw error;
    connection.comparesBareEtags = true;
    return await send();
  }
}
