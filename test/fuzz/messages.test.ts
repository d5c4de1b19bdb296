import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { NodeMessage } from 'node-red';
import { TASK_PROPERTIES } from '../../nodes/properties.js';
import { CloudSyncError, type ErrorRecord } from '../../src/errors.js';
import { type FakeRun, FakeRunner } from '../nodes/fake-runner.js';
import { CREDENTIAL, HELPERS, helper, NODES, node, replaceRunner, SECRETS, TASK } from '../nodes/node-red.js';
import { anyText, anyValue, assertClear, fuzzLater, objectWith, runs, SEED } from './support.js';

const FEW = 300;

interface Report {
  status: string;
  errors: ErrorRecord[];
}

const wires = TASK.wires;

const overrides = objectWith(
  {
    include: fc.constant(['*.jpg']),
    dryRun: fc.constant(true),
    maxDelete: fc.constantFrom<unknown>(0, '10%', null),
    path: fc.constant('/srv/other'),
    asOf: fc.constant('2025-03-01T12:00:00Z'),
  },
  anyValue,
  Object.keys(TASK_PROPERTIES),
);
const payload = fc.oneof(
  anyValue,
  fc.record({ paths: fc.oneof(anyValue, fc.array(fc.oneof(anyText, anyValue), { maxLength: 3 })) }),
  fc.record({ taskId: fc.oneof(anyValue, fc.constant('task')) }),
);
const message = fc.record(
  {
    action: fc.oneof(anyValue, fc.constantFrom('run', 'abort', '')),
    cloudSync: fc.oneof(overrides, anyValue),
    payload,
    topic: anyValue,
  },
  { requiredKeys: [] },
);

describe('Fuzzed messages', function () {
  this.timeout(600_000);
  let root: string;
  let runner: FakeRunner;
  let onReport: (report: Report) => void;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-fuzz-'));
    await helper.startServer();
    helper.settings({ userDir: root });
    runner = new FakeRunner();
    replaceRunner(runner as never);
    const common = { z: 'flow', name: '', wires };
    await helper.load(
      NODES,
      [
        CREDENTIAL,
        ...HELPERS,
        { ...TASK, allowOverrides: ['path'] },
        { ...common, id: 'restore', type: 'cloud-restore', task: 'task', path: '/srv/restored' },
        { ...common, id: 'verify', type: 'cloud-verify', task: '' },
      ] as never,
      SECRETS,
    );
    for (const output of ['success', 'failure']) {
      node(output).on('input', ({ payload: report }) => onReport(report as Report));
    }
  });

  after(async () => {
    await helper.unload();
    helper.settings({});
    await helper.stopServer();
    replaceRunner(undefined);
    rmSync(root, { recursive: true, force: true });
  });

  for (const id of ['task', 'restore', 'verify']) {
    it(`to ${id === 'task' ? 'cloud-sync' : `cloud-${id}`} (${runs(FEW)}, seed ${SEED})`, async () => {
      const finish = (run: FakeRun) => runner.finish(run, 'success');
      runner.on('submit', finish);
      let taken = 0;
      await fuzzLater(FEW, message, async (fields) => {
        const answer = new Promise<Report>((resolve) => {
          onReport = resolve;
        });
        node(id).receive({ _msgid: 'fuzzed', ...fields } as NodeMessage);
        if (fields.action === 'abort') return;
        const report = await answer;
        if (report.status === 'success') {
          taken += 1;
          return;
        }
        const [error] = report.errors;
        assertClear(CloudSyncError.fromRecord(error!));
        JSON.stringify(report);
      });
      assert.ok(taken > 0, 'some are right');
      runner.off('submit', finish);
    });
  }
});
