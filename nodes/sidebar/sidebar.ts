import type { NodeAPI } from 'node-red';
import type { LogQuery } from '../../src/runner/run-log.js';
import {
  addRoute,
  CloudSyncError,
  deployedNode,
  describeNodes,
  publishChanges,
  type RouteInput,
  sharedRunner,
} from '../runtime.js';

const RUN_ID = /^[\w-]{1,80}$/;
const LEVELS: readonly unknown[] = ['info', 'warning', 'error'];

function logQuery({ after, limit, search, level }: RouteInput['query']): LogQuery {
  const query: LogQuery = {};
  if (typeof after === 'string') query.after = after;
  if (typeof search === 'string' && search !== '') query.search = search;
  if (LEVELS.includes(level)) query.level = level as LogQuery['level'];
  if (typeof limit === 'string' && /^\d{1,4}$/.test(limit))
    query.limit = Math.min(1000, Math.max(1, Number(limit)));
  return query;
}

/**
 * | route | does |
 * | --- | --- |
 * | `GET tasks` | every node that runs, with its state |
 * | `GET tasks/:id/runs` | reports of its last runs, newest first |
 * | `GET tasks/:id/runs/:runId/log?after&limit&search&level` | a page of that run's log |
 * | `POST tasks/:id/run` | `{dryRun?}`: sends the node a message |
 * | `POST tasks/:id/abort` | stops its runs |
 *
 * Changes are published as `cloud-sync/task/<id>`, one topic per node.
 */
export = (RED: NodeAPI): void => {
  publishChanges(RED);
  addRoute(RED, 'get', 'tasks', () => describeNodes(RED));
  addRoute(RED, 'get', 'tasks/:id/runs', async ({ params }) => ({
    runs: await sharedRunner(RED).history(deployedNode(params.id).node.id),
  }));
  addRoute(RED, 'get', 'tasks/:id/runs/:runId/log', async ({ params, query }) => {
    deployedNode(params.id);
    const runId = params.runId ?? '';
    if (!RUN_ID.test(runId)) throw new CloudSyncError('INVALID_INPUT', 'That is no run', { field: 'runId' });
    const answer = await sharedRunner(RED).log(runId, logQuery(query));
    if (!answer.ok) throw CloudSyncError.fromRecord(answer.error);
    return answer.value;
  });
  addRoute(RED, 'post', 'tasks/:id/run', ({ params, body }) => {
    const { node } = deployedNode(params.id);
    node.receive(
      body.dryRun === true ? { topic: 'sidebar', cloudSync: { dryRun: true } } : { topic: 'sidebar' },
    );
  });
  addRoute(RED, 'post', 'tasks/:id/abort', ({ params }) => ({
    aborted: sharedRunner(RED).abort(deployedNode(params.id).node.id),
  }));
};
