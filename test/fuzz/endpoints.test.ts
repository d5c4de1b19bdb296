import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { CloudSyncError, type ErrorRecord } from '../../src/errors.js';
import type { Question } from '../../src/runner/questions.js';
import { PROVIDERS } from '../../src/stores/registry.js';
import { type FakeRun, FakeRunner } from '../nodes/fake-runner.js';
import {
  CREDENTIAL,
  HELPERS,
  helper,
  NODES,
  replaceRunner,
  SECRETS,
  SIDEBAR,
  TASK,
} from '../nodes/node-red.js';
import { routesOf } from '../nodes/routes.js';
import { anyJson, anyText, assertClear, fuzzLater, objectWith, runs, SEED } from './support.js';

const FEW = 800;

/** What bodies of requests are made of, by name; every route gets any of it. */
function bodyFields(folder: string): Record<string, fc.Arbitrary<unknown>> {
  const stored = fc.constantFrom('__PWRD__', 'AKID', '');
  const names = PROVIDERS.flatMap((provider) => provider.fields);
  const fields = objectWith(Object.fromEntries(names.map(({ name }) => [name, stored])), anyJson);
  const credential = objectWith(
    {
      id: fc.constantFrom('credential', 'task', 'new'),
      provider: fc.constantFrom(...PROVIDERS.map(({ id }) => id)),
      config: fc.oneof(fields, fc.constant({ endpoint: CREDENTIAL.endpoint })),
      secrets: fields,
    },
    anyJson,
  );
  const path = fc.constantFrom(folder, `${folder}/deeper`, '', '/', `${folder}/..`, '..', '/etc/shadow');
  return {
    credential,
    bucket: fc.constantFrom('family', ''),
    folder: fc.constantFrom('', 'photos', '..'),
    path,
    after: anyText,
    include: fc.constant(['*.jpg']),
    exclude: fc.constant(['{{(a+)+b}}']),
    paths: fc.constantFrom<unknown>(['a.jpg'], [], ['..'], 'a'),
    transferMode: fc.constantFrom('copy', 'sync', 'move'),
    asOf: fc.constantFrom('', '2025-03-01', 'yesterday'),
    method: fc.constantFrom('metadata', 'sample'),
    allowDeletes: anyText,
    dryRun: fc.boolean(),
    task: fc.constantFrom('task', 'nobody'),
    appKey: fc.constantFrom('abc', ''),
    code: anyText,
    id: anyText,
  };
}

describe('Fuzzed requests to the endpoints', function () {
  this.timeout(900_000);
  let root: string;
  let admin: Server;
  let routes: ReturnType<typeof routesOf>;
  const asked: Question[] = [];
  const restored: string[] = [];

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-fuzz-'));
    mkdirSync(join(root, 'allowed'));
    await helper.startServer();
    const runner = new FakeRunner();
    // What a child process would find out isn't asked here: what the endpoints let through to it is.
    runner.ask = (async (question: Question) => {
      asked.push(question);
      return { ok: true, value: { entries: [], url: 'https://example.com' } };
    }) as never;
    runner.on('submit', (run: FakeRun) => {
      if (run.request.restore !== undefined) restored.push(run.request.restore.path);
      runner.finish(run, 'success');
    });
    replaceRunner(runner as never);
    helper.settings({ userDir: root, cloudSync: { allowedPaths: [join(root, 'allowed')] } });
    await helper.load(
      [...NODES, SIDEBAR],
      [CREDENTIAL, ...HELPERS, { ...TASK, path: join(root, 'allowed') }] as never,
      SECRETS,
    );
    admin = createServer(helper._httpAdmin as RequestListener).listen(0, '127.0.0.1');
    await once(admin, 'listening');
    // Express prints what it refuses itself, bodies that are no JSON.
    (helper._httpAdmin as unknown as { set(name: string, value: string): void }).set('env', 'test');
    routes = routesOf(helper._httpAdmin);
    assert.ok(routes.length >= 15, `${routes.length} routes`);
  });

  after(async () => {
    admin.close();
    admin.closeAllConnections();
    await helper.unload();
    helper.settings({});
    await helper.stopServer();
    replaceRunner(undefined);
    rmSync(root, { recursive: true, force: true });
  });

  /** Sent as it is: `fetch` would tidy the address up. */
  async function ask(method: string, path: string, body: Buffer | string | undefined, type: string) {
    const { port } = admin.address() as AddressInfo;
    const headers =
      body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const outgoing = send({ host: '127.0.0.1', port, method, path, headers });
    outgoing.end(body);
    const [incoming] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    return { status: incoming.statusCode!, text: Buffer.concat(chunks).toString() };
  }

  function assertAnswered(status: number, text: string): void {
    if (status === 200) {
      assert.equal(typeof JSON.parse(text), 'object');
      return;
    }
    assert.ok(status === 400 || status === 404, `${status}: ${text.slice(0, 200)}`);
    assertClear(CloudSyncError.fromRecord(JSON.parse(text) as ErrorRecord));
    assert.doesNotMatch(text, /the-hidden-secret/);
  }

  it(`with any body (${runs(FEW)}, seed ${SEED})`, async () => {
    const odd = fc.constantFrom('task-restore', 'nobody', '%00', '..%2f..', '__proto__', 'x'.repeat(3000));
    const ids = fc.oneof({ weight: 2, arbitrary: fc.constant('task') }, odd);
    const queries = fc.constantFrom(
      '',
      '?after=1&limit=0',
      '?limit=99999',
      '?search[]=a',
      '?after[b]=c&level=error',
      '?%00',
    );
    const bodies = fc.oneof(
      { weight: 6, arbitrary: objectWith(bodyFields(join(root, 'allowed')), anyJson) },
      { weight: 1, arbitrary: anyJson },
    );
    const input = fc.tuple(fc.nat(), bodies, ids, queries);
    let taken = 0;
    await fuzzLater(FEW, input, async ([number, body, id, query]) => {
      const { method, path } = routes[number % routes.length]!;
      const address = path.replace(':id', id).replace(':runId', id) + query;
      const { status, text } = await ask(
        method,
        address,
        method === 'POST' ? JSON.stringify(body) : undefined,
        'application/json',
      );
      // Express refuses some itself: addresses it can't decode, bodies that are no object.
      if (status !== 200 && !text.startsWith('{'))
        assert.ok(status >= 400 && status < 500, `${status} ${text}`);
      else assertAnswered(status, text);
      if (status === 200) taken += 1;
    });
    assert.ok(taken > 0, 'some are right');
    const looked = asked.flatMap((question) => ('path' in question ? [question.path] : []));
    assert.ok(looked.length > 0 && restored.length > 0);
    for (const path of [...looked, ...restored]) {
      assert.ok(path === join(root, 'allowed') || path.startsWith(join(root, 'allowed', '/')), path);
    }
  });

  it('with bodies that are no JSON object are refused, and change nothing', async () => {
    for (const { method, path } of routes.filter((route) => route.method === 'POST')) {
      const address = path.replace(':id', 'task');
      for (const [body, type] of [
        ['[]', 'application/json'],
        ['"text"', 'application/json'],
        ['{"path":', 'application/json'],
        ['{}', 'text/plain'],
        ['a=b', 'application/x-www-form-urlencoded'],
        [Buffer.from([0xff, 0xfe, 0]), 'application/json'],
        [Buffer.from('{}', 'utf16le'), 'application/json; charset=utf-16le'],
      ] as [string | Buffer, string][]) {
        const { status, text } = await ask(method, address, body, type);
        assert.ok(
          (status >= 400 && status < 500) || (status === 200 && type.includes('utf-16le')),
          `${path} ${String(body)}: ${status} ${text}`,
        );
      }
    }
  });
});
