import type { NodeAPI } from 'node-red';
import type { LogQuery } from '../../src/runner/run-log.js';
import {
  addRoute,
  askRunner,
  CloudSyncError,
  dataFolder,
  deployedNode,
  deployedTask,
  describeNodes,
  forgetSidebarRun,
  messageAllowing,
  pathsMessage,
  publishChanges,
  type RouteInput,
  requestWithoutNode,
  runningId,
  sharedRunner,
  sidebarRunId,
  startSidebarRun,
  textOf,
} from '../runtime.js';

const RUN_ID = /^[\w-]{1,80}$/;
const LEVELS: readonly unknown[] = ['info', 'warning', 'error'];

function logQuery({ after, limit, search, level, from }: RouteInput['query']): LogQuery {
  const query: LogQuery = {};
  if (from === 'end') query.fromEnd = true;
  if (typeof after === 'string') query.after = after;
  if (typeof search === 'string' && search !== '') query.search = search;
  if (LEVELS.includes(level)) query.level = level as LogQuery['level'];
  if (typeof limit === 'string' && /^\d{1,4}$/.test(limit))
    query.limit = Math.min(1000, Math.max(1, Number(limit)));
  return query;
}

function momentOf(text: string): number {
  const moment = Date.parse(text);
  if (!Number.isNaN(moment)) return moment;
  throw new CloudSyncError('INVALID_INPUT', `${text} is no time`, { field: 'asOf' });
}

/**
 * | route | does |
 * | --- | --- |
 * | `GET tasks` | every node that runs, with its state |
 * | `GET tasks/:id/runs` | reports of its last runs, newest first |
 * | `GET tasks/:id/runs/:runId/log?after&limit&search&level&from` | a page of that run's log, with `from=end` its last lines |
 * | `POST tasks/:id/run` | `{dryRun?, allowDeletes?}`: sends the node a message; `allowDeletes` is `pendingDeletes.hash` of a report |
 * | `POST tasks/:id/restore` | `{path, transferMode, paths?, asOf?, dryRun?}`: restores once, without a node for it |
 * | `POST tasks/:id/verify` | `{method, sample?}`: verifies once, without a node for it |
 * | `POST tasks/:id/folder` | `{folder, after?, asOf?}`: a folder of the task in the cloud, names decrypted |
 * | `POST tasks/:id/forget` | takes a run that the sidebar has started off the list |
 * | `POST tasks/:id/abort` | stops its runs |
 *
 * Changes are published as `cloud-sync/task/<id>`, one topic per node.
 */
export = (RED: NodeAPI): void => {
  publishChanges(RED);
  addRoute(RED, 'get', 'tasks', () => describeNodes(RED));
  addRoute(RED, 'get', 'tasks/:id/runs', async ({ params }) => ({
    runs: await sharedRunner(RED).history(runningId(params.id)),
  }));
  addRoute(RED, 'get', 'tasks/:id/runs/:runId/log', async ({ params, query }) => {
    runningId(params.id);
    const runId = params.runId ?? '';
    if (!RUN_ID.test(runId)) throw new CloudSyncError('INVALID_INPUT', 'That is no run', { field: 'runId' });
    const answer = await sharedRunner(RED).log(runId, logQuery(query));
    if (!answer.ok) throw CloudSyncError.fromRecord(answer.error);
    return answer.value;
  });
  addRoute(RED, 'post', 'tasks/:id/run', ({ params, body }) => {
    const { node } = deployedNode(params.id);
    const allowed = textOf(body, 'allowDeletes');
    if (allowed !== '') return node.receive(messageAllowing(allowed));
    node.receive(
      body.dryRun === true ? { topic: 'sidebar', cloudSync: { dryRun: true } } : { topic: 'sidebar' },
    );
  });
  addRoute(RED, 'post', 'tasks/:id/abort', ({ params }) => ({
    aborted: sharedRunner(RED).abort(runningId(params.id)),
  }));
  for (const operation of ['restore', 'verify'] as const) {
    addRoute(RED, 'post', `tasks/:id/${operation}`, async ({ params, body }) => {
      const task = deployedNode(params.id).node.id;
      const { paths, ...saved } = body;
      const message = pathsMessage(paths as string[] | undefined);
      const id = sidebarRunId(task, operation);
      const request = await requestWithoutNode(
        RED,
        operation,
        id,
        { ...saved, task },
        message,
        dataFolder(RED),
      );
      return { id, runId: startSidebarRun(sharedRunner(RED), request) };
    });
  }
  addRoute(RED, 'post', 'tasks/:id/folder', async ({ params, body, signal }) => {
    const task = await deployedTask(RED, deployedNode(params.id).node.id);
    const asOf = textOf(body, 'asOf');
    const question = {
      kind: 'listTaskFolder',
      credential: task.credential,
      task,
      folder: textOf(body, 'folder'),
      after: textOf(body, 'after') || undefined,
      asOf: asOf === '' ? undefined : momentOf(asOf),
    } as const;
    return await askRunner(RED, question, signal);
  });
  addRoute(RED, 'post', 'tasks/:id/forget', ({ params }) => ({
    forgotten: forgetSidebarRun(params.id ?? ''),
  }));
};
