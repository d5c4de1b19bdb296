import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type Properties,
  RESTORE_PROPERTIES,
  TASK_PROPERTIES,
  VERIFY_PROPERTIES,
} from '../../nodes/properties.js';
import {
  readCredential,
  readRestore,
  readTask,
  readVerify,
  type SavedNode,
} from '../../nodes/task-settings.js';
import { evaluateTypedInputs, TYPED_TASK_PROPERTIES, typePropertyOf } from '../../nodes/typed-inputs.js';
import type { TaskSettings } from '../../src/runner/task.js';
import { PROVIDERS, providerById } from '../../src/stores/registry.js';
import {
  anyJson,
  anyText,
  anyValue,
  fuzz,
  fuzzLater,
  objectWith,
  runs,
  SEED,
  takenOrRefused,
  takenOrRefusedLater,
} from './support.js';

const FEW = 800;

const patterns = fc.array(fc.constantFrom('*.jpg', '/photos/**', '{{a+}}', ''), { maxLength: 3 });
const rows = fc.constantFrom<unknown>([], [{ time: '08:00', bandwidth: 1000 }], [{ time: '08:00' }, null]);
/** Values that fit some property of that name. */
const RIGHT: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  direction: fc.constantFrom('push', 'pull'),
  transferMode: fc.constantFrom('sync', 'copy', 'move'),
  schedule: fc.constantFrom('', '0 3 * * *'),
  path: fc.constantFrom('/srv/photos', '/', 'C:\\photos', '/a/../b'),
  bucket: fc.constantFrom('family', 'a-b'),
  folder: fc.constantFrom('', 'a/b', '/a/', 'a//b'),
  backupFolder: fc.constantFrom('', 'old', '/srv/old'),
  include: patterns,
  exclude: patterns,
  bandwidthLimit: rows,
  transfers: fc.constantFrom<unknown>(1, '4', 256),
  chunkSize: fc.constantFrom<unknown>(5, '96'),
  maxDelete: fc.constantFrom<unknown>(0, 5, '50%', '7', ' 1.5 %', null),
  whenBusy: fc.constantFrom('queue', 'skip'),
  allowOverrides: fc.subarray(['path', 'bucket', 'transferMode', 'direction', 'backupFolder']),
  asOf: fc.constantFrom('2025-03-01T12:00:00Z', '2025-03-01'),
  method: fc.constantFrom('metadata', 'checksum', 'download', 'sample'),
  sample: fc.constantFrom<unknown>(10, '0.5'),
  staleAfter: fc.constantFrom<unknown>(24, '0.5'),
  backupKeepDays: fc.constant(30),
  thawDays: fc.constant(7),
};

/** Each property with values that fit: mostly none. */
function fitting(properties: Properties): Record<string, fc.Arbitrary<unknown>> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, { default: fallback }]) => {
      const values = typeof fallback === 'boolean' ? fc.boolean() : (RIGHT[name] ?? fc.constant('a'));
      return [
        name,
        fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: values }),
      ];
    }),
  );
}

const CREDENTIAL = { id: 'key', name: '', provider: 's3', config: {}, secrets: {} };
const node = (fields: object) => ({ id: 'task', ...fields }) as SavedNode;
const placed = { path: fc.constant('/srv/photos'), bucket: fc.constant('family') };
const anyTask = objectWith({ ...fitting(TASK_PROPERTIES), ...placed }, anyJson);
/** What a message may hold in `cloudSync`. */
const listed = Object.fromEntries(
  Object.entries(TASK_PROPERTIES).filter(([, { override }]) => override !== 'never'),
);
const anyOverrides = fc.oneof(
  { weight: 6, arbitrary: objectWith(fitting(listed), anyValue, Object.keys(TASK_PROPERTIES)) },
  { weight: 1, arbitrary: anyValue },
);
const secrets = fc.record({ encryptionPassword: anyText, encryptionSalt: anyText }, { requiredKeys: [] });

/** Of a task that was accepted: what the engine relies on. */
function assertUsable(task: TaskSettings): void {
  assert.match(task.direction, /^(?:push|pull)$/);
  assert.match(task.transferMode, /^(?:sync|copy|move)$/);
  assert.ok(task.path.length > 0 && !task.path.includes('\0'));
  assert.ok(!task.bucket.includes('/') && !task.folder.split('/').includes('..'));
  for (const list of [task.include, task.exclude]) {
    assert.ok(list.every((pattern) => typeof pattern === 'string' && pattern !== ''));
  }
  const { maxDelete, transfers } = task;
  assert.ok(maxDelete === null || /^\d+(?:\.\d+)?%?$/.test(String(maxDelete)), String(maxDelete));
  assert.ok(transfers === null || (Number.isInteger(transfers) && transfers >= 1 && transfers <= 256));
  assert.deepEqual(JSON.parse(JSON.stringify(task)), task, 'it goes to another process as JSON');
}

describe('Fuzzed properties', function () {
  this.timeout(600_000);

  it(`of cloud-sync, with messages that override them (${runs(FEW)}, seed ${SEED})`, () => {
    let taken = 0;
    fuzz(FEW, fc.tuple(anyTask, secrets, fc.option(anyOverrides)), ([config, secret, overrides]) => {
      const task = takenOrRefused(() =>
        readTask({ config: node(config), secrets: secret, credential: CREDENTIAL, overrides }),
      );
      if (task === undefined) return;
      taken += 1;
      assertUsable(task);
    });
    assert.ok(taken > 0, 'some are right');
  });

  it(`of cloud-sync, alone overridden (${runs(FEW)}, seed ${SEED})`, () => {
    const saved = {
      path: '/srv/photos',
      bucket: 'family',
      maxDelete: '10%',
      allowOverrides: ['path', 'bucket', 'folder', 'direction', 'transferMode', 'backupFolder', 'chunkSize'],
    };
    let taken = 0;
    fuzz(FEW, anyOverrides, (overrides) => {
      const task = takenOrRefused(() =>
        readTask({ config: node(saved), secrets: {}, credential: CREDENTIAL, overrides }),
      );
      if (task === undefined) return;
      taken += 1;
      assertUsable(task);
      const share = Number.parseFloat(String(task.maxDelete));
      assert.ok(
        share <= 10 && (task.maxDelete === 0 || String(task.maxDelete).endsWith('%')),
        'never loosened',
      );
      assert.equal(task.encryption, false);
      assert.equal(task.lease, true);
      assert.equal(task.preScript, '');
    });
    assert.ok(taken > 0, 'some are right');
  });

  it(`of cloud-restore and cloud-verify, with messages (${runs(FEW)}, seed ${SEED})`, () => {
    const task = readTask({
      config: node({ path: '/srv/photos', bucket: 'family' }),
      secrets: {},
      credential: CREDENTIAL,
    });
    const payload = fc.oneof(
      anyValue,
      fc.record({ paths: fc.oneof(anyValue, fc.array(fc.oneof(anyText, anyValue), { maxLength: 4 })) }),
    );
    const restore = objectWith(fitting(RESTORE_PROPERTIES), anyJson);
    const verify = objectWith(fitting(VERIFY_PROPERTIES), anyJson);
    fuzz(
      FEW,
      fc.tuple(restore, verify, payload, fc.option(anyOverrides)),
      ([saved, other, paths, overrides]) => {
        const read = takenOrRefused(() => readRestore(node(saved), task, { payload: paths, overrides }));
        for (const path of read?.paths ?? []) {
          assert.ok(!path.startsWith('/') && !path.split('/').includes('..') && path !== '', path);
        }
        const method = takenOrRefused(() => readVerify(node(other)));
        assert.ok(method === undefined || (method.sample >= 1 && method.sample <= 100));
      },
    );
  });

  it(`that a flow gives (${runs(FEW)}, seed ${SEED})`, async () => {
    const types = Object.fromEntries(
      TYPED_TASK_PROPERTIES.map((name) => [
        typePropertyOf(name),
        fc.constantFrom('str', 'msg', 'flow', 'global', 'env', 'jsonata'),
      ]),
    );
    const saved = objectWith({ ...fitting(TASK_PROPERTIES), ...placed, ...types }, anyJson);
    // What an expression gives, and now and then throws.
    const given = fc.tuple(fc.oneof(anyValue, patterns, fc.constant('08:00,512k'), anyText), fc.boolean());
    await fuzzLater(FEW, fc.tuple(saved, fc.array(given, { minLength: 1 })), async ([config, values]) => {
      let asked = 0;
      await takenOrRefusedLater(async () => {
        const filled = await evaluateTypedInputs(node(config), TYPED_TASK_PROPERTIES, undefined, async () => {
          const [value, throws] = values[asked++ % values.length]!;
          if (throws) throw value;
          return value;
        });
        assertUsable(readTask({ config: filled, secrets: {}, credential: CREDENTIAL }));
      });
    });
  });

  it(`of cloud-credential (${runs(FEW)}, seed ${SEED})`, () => {
    const fields = PROVIDERS.flatMap((provider) => provider.fields);
    const names = Object.fromEntries(
      fields.map(({ name, secret }) => [name, fc.constant(secret ? 'abc' : undefined)]),
    );
    const endpoint = fc.constantFrom(
      'https://s3.example.com',
      'http://[::1',
      'http://a b',
      'ftp://x',
      'http://%zz',
      'https://user:password@host/',
    );
    const provider = fc.constantFrom(...PROVIDERS.map(({ id }) => id));
    const saved = objectWith({ ...names, provider, endpoint, region: fc.constant('eu-central-1') }, anyJson);
    fuzz(FEW, fc.tuple(saved, objectWith(names, anyJson)), ([config, secret]) => {
      const read = takenOrRefused(() => readCredential(node(config), secret as never));
      if (read === undefined) return;
      takenOrRefused(() => providerById(read.provider).identity?.(read.config, read.secrets, 'family'));
    });
  });
});
