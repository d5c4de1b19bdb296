import assert from 'node:assert/strict';
import {
  LISTED_OVERRIDES,
  LISTED_RESTORE_OVERRIDES,
  problemOf,
  RESTORE_PROPERTIES,
  TASK_PROPERTIES,
} from '../../nodes/properties.js';
import {
  type PackageSettings,
  readCredential,
  readRestore,
  readTask,
  readVerify,
} from '../../nodes/task-settings.js';
import { CloudSyncError } from '../../src/errors.js';
import { TASK_DEFAULTS } from '../task-defaults.js';

const CREDENTIAL = readCredential(
  { id: 'c1', name: 'Home', provider: 's3', endpoint: 'http://127.0.0.1:9000' },
  { accessKeyId: 'AKID', secretAccessKey: 'secret' },
);
const SAVED = { id: 't1', name: 'Photos', path: '/srv/photos', bucket: 'family', folder: '/photos/' };

function task(
  config: Record<string, unknown> = {},
  overrides?: unknown,
  settings?: PackageSettings,
  secrets: Record<string, string> = {},
) {
  return readTask({ config: { ...SAVED, ...config }, secrets, credential: CREDENTIAL, overrides, settings });
}

/** Runs `act`, which has to fail with INVALID_INPUT (or `code`) naming `field`. */
function refused(
  act: () => unknown,
  field: string,
  message?: RegExp,
  code = 'INVALID_INPUT',
): CloudSyncError {
  let error: unknown;
  try {
    act();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error instanceof CloudSyncError, `expected a refusal naming ${field}, got ${String(error)}`);
  assert.equal(error.code, code);
  assert.equal(error.field, field, error.message);
  if (message !== undefined) assert.match(`${error.message} ${error.advice ?? ''}`, message);
  return error;
}

describe('task settings', () => {
  it('has the defaults of the contract', () => {
    const { credential: _credential, ...settings } = task();
    assert.deepEqual(settings, {
      taskId: 't1',
      name: 'Photos',
      direction: 'push',
      transferMode: 'copy',
      path: '/srv/photos',
      bucket: 'family',
      folder: 'photos',
      ...TASK_DEFAULTS,
    });
  });

  const readAs: Array<[string, unknown, unknown]> = [
    ['transfers', '8', 8],
    ['transfers', '', null],
    ['transfers', null, null],
    ['chunkSize', '96', 96],
    ['maxDelete', '', null],
    ['maxDelete', null, null],
    ['maxDelete', '100', 100],
    ['maxDelete', 0, 0],
    ['maxDelete', ' 12.5 % ', '12.5%'],
    ['staleAfter', '36', 36],
    ['lease', false, false],
    ['lease', 'false', false],
    ['metadata', 'true', true],
    ['folder', '', ''],
    ['folder', '///', ''],
    ['folder', 'a b/c+d', 'a b/c+d'],
    ['path', 'C:\\Photos', 'C:\\Photos'],
    ['include', ['*.jpg', '', '  '], ['*.jpg']],
    [
      'bandwidthLimit',
      [
        { time: '08:00', bandwidth: 1e6 },
        { time: '23:00', bandwidth: null },
      ],
      [
        { time: '08:00', bandwidth: 1e6 },
        { time: '23:00', bandwidth: null },
      ],
    ],
    ['backupFolder', '/old/', 'old'],
  ];
  for (const [name, saved, expected] of readAs) {
    it(`reads ${name} saved as ${JSON.stringify(saved)}`, () => {
      assert.deepEqual((task({ [name]: saved }) as unknown as Record<string, unknown>)[name], expected);
    });
  }

  const unusable: Array<[string, unknown, RegExp?]> = [
    ['direction', 'both', /push, pull/],
    ['transferMode', 'mirror', /sync, copy, move/],
    ['path', 'photos', /relative/],
    ['path', './photos', /relative/],
    ['path', '', /Choose the local folder/],
    ['path', undefined, /Choose/],
    ['path', '/srv/\0x', /NUL/],
    ['bucket', '', /Choose a bucket/],
    ['bucket', 'family/photos', /slash/],
    ['folder', '.node-red-cloud-sync', /keeps for itself/],
    ['folder', 'a/.node-red-cloud-sync/b', /keeps for itself/],
    ['folder', 'a/../b', /no meaning/],
    ['backupFolder', '.node-red-cloud-sync/x', /keeps for itself/],
    ['backupFolder', 'photos', /itself/],
    ['include', '*.jpg', /list/],
    ['exclude', [1], /no text/],
    ['include', ['a[b'], /pattern "a\[b" can't be used/],
    ['exclude', ['{{(}}'], /can't be used/],
    ['transfers', 0, /from 1/],
    ['transfers', 1.5],
    ['transfers', 'many'],
    ['chunkSize', 4, /from 5/],
    ['bandwidthLimit', '08:00,1M', /list of rows/],
    ['bandwidthLimit', [{ time: '8:00', bandwidth: 1 }], /08:00/],
    ['bandwidthLimit', [{ time: '24:00', bandwidth: 1 }]],
    ['bandwidthLimit', [{ time: '08:00', bandwidth: 0 }], /bytes per second/i],
    ['bandwidthLimit', [{ time: '08:00', bandwidth: '1M' }], /bytes per second/],
    [
      'bandwidthLimit',
      [
        { time: '23:00', bandwidth: 1 },
        { time: '08:00', bandwidth: 2 },
      ],
      /order/,
    ],
    [
      'bandwidthLimit',
      [
        { time: '08:00', bandwidth: 1 },
        { time: '08:00', bandwidth: 2 },
      ],
      /two rows/,
    ],
    ['maxDelete', '101%'],
    ['maxDelete', -1],
    ['maxDelete', 1.5],
    ['maxDelete', 'few', /number of files/],
    ['schedule', '0 3 * *', /five fields/],
    ['schedule', '61 3 * * *', /minute "61"/],
    ['whenBusy', 'abort', /queue, skip/],
    ['staleAfter', -1],
    ['allowOverrides', ['credential'], /never override/],
    ['allowOverrides', 'path', /list/],
    ['dryRun', 'yes', /true or false/],
  ];
  for (const [name, saved, message] of unusable) {
    it(`refuses ${name} saved as ${JSON.stringify(saved)}`, () => {
      refused(() => task({ [name]: saved }), name, message);
    });
  }

  it('refuses what does not go together', () => {
    refused(() => task({ snapshot: true, direction: 'pull' }), 'snapshot', /push/);
    refused(() => task({ snapshot: true, transferMode: 'move' }), 'snapshot', /move/);
    refused(() => task({ encryption: true }), 'encryptionPassword', /without a password/);
    refused(() => task({ followSymlinks: true, keepSymlinks: true }), 'keepSymlinks');
    refused(
      () => task({ preScript: 'true' }, undefined, { allowScripts: false }),
      'preScript',
      /settings.js/,
    );
    refused(() => task({ direction: 'pull', backupFolder: '../old' }), 'backupFolder');
    assert.equal(task({ direction: 'pull', backupFolder: 'old' }).backupFolder, 'old');
    assert.equal(task({ direction: 'pull', backupFolder: '/srv/old' }).backupFolder, '/srv/old');
    assert.equal(task({ snapshot: true }).snapshot, true);
    assert.equal(task({ preScript: 'true' }).preScript, 'true');
  });

  it('hands secrets on only where encryption is on', () => {
    const secrets = { encryptionPassword: 'p', encryptionSalt: '' };
    assert.equal(task({}, undefined, {}, secrets).encryptionPassword, undefined);
    assert.equal(task({ filenameEncryption: true }, undefined, {}, secrets).filenameEncryption, false);
    const encrypted = task({ encryption: true, filenameEncryption: true }, undefined, {}, secrets);
    assert.equal(encrypted.encryptionPassword, 'p');
    assert.equal('encryptionSalt' in encrypted, false);
    assert.equal(encrypted.filenameEncryption, true);
  });

  it('tells the editor what is wrong with a value, in words', () => {
    assert.match(problemOf(TASK_PROPERTIES, 'path', 'photos') ?? '', /relative path\. Write the whole path/);
    assert.equal(problemOf(TASK_PROPERTIES, 'path', '/photos'), undefined);
    assert.equal(problemOf(TASK_PROPERTIES, 'schedule', ''), undefined);
  });
});

/** A usable value of every property, other than its default. */
const OTHER_VALUES: Record<string, unknown> = {
  name: 'x',
  direction: 'pull',
  transferMode: 'sync',
  schedule: '0 3 * * *',
  enabled: false,
  path: '/srv/other',
  bucket: 'other',
  folder: 'other',
  include: ['*.jpg'],
  exclude: ['*.tmp'],
  followSymlinks: true,
  createEmptySrcDirs: true,
  keepSymlinks: true,
  metadata: true,
  checksum: true,
  transfers: 3,
  bandwidthLimit: [{ time: '08:00', bandwidth: 1000 }],
  encryption: true,
  filenameEncryption: true,
  storageClass: 'STANDARD_IA',
  serverSideEncryption: 'AES256',
  chunkSize: 64,
  deleteVersions: true,
  snapshot: true,
  preScript: 'true',
  postScript: 'true',
  scriptSecrets: true,
  dryRun: true,
  staleAfter: 5,
  backupFolder: 'old',
  backupKeepDays: 5,
  lease: false,
  maxDelete: 10,
  whenBusy: 'skip',
  allowOverrides: ['path'],
  credential: 'c2',
  encryptionPassword: 'x',
  encryptionSalt: 'x',
};

describe('msg.cloudSync on a cloud-sync node', () => {
  const always = ['include', 'exclude', 'transfers', 'bandwidthLimit', 'checksum', 'dryRun', 'maxDelete'];
  const listed = [
    'path',
    'bucket',
    'folder',
    'direction',
    'transferMode',
    'followSymlinks',
    'createEmptySrcDirs',
    'metadata',
    'storageClass',
    'chunkSize',
    'backupFolder',
  ];

  it('lets the editor offer exactly the names that a node may release', () => {
    assert.deepEqual([...LISTED_OVERRIDES], listed);
    assert.deepEqual([...LISTED_RESTORE_OVERRIDES], ['path', 'transferMode']);
  });

  it('is tested for every property there is', () => {
    for (const name of Object.keys(TASK_PROPERTIES)) assert.ok(name in OTHER_VALUES, name);
  });

  for (const [name, value] of Object.entries(OTHER_VALUES)) {
    const run = (allowOverrides: string[]) =>
      task({ allowOverrides, maxDelete: 100 }, { [name]: value }) as unknown as Record<string, unknown>;
    if (always.includes(name)) {
      it(`may always set ${name}`, () => assert.deepEqual(run([])[name], value));
    } else if (listed.includes(name)) {
      it(`may set ${name} only where allowOverrides names it`, () => {
        refused(() => run([]), name, new RegExp(`msg.cloudSync.${name}.*Messages may change`));
        assert.deepEqual(run([name])[name], value);
      });
    } else {
      it(`may never set ${name}`, () => {
        refused(() => run([]), name, new RegExp(`msg.cloudSync.${name}`));
        refused(() => run([...listed]), name);
      });
    }
  }

  it('changes nothing where it is absent', () => {
    assert.deepEqual(task({}, undefined), task({}, null));
    assert.deepEqual(task({}, {}), task());
    assert.deepEqual(task({}, { path: undefined }), task());
  });

  it('refuses what is no object, and names that are none', () => {
    refused(() => task({}, 'dryRun'), 'cloudSync', /object/);
    refused(() => task({}, [1]), 'cloudSync', /object/);
    refused(() => task({}, { Transfers: 4 }), 'Transfers', /A message may set include, exclude/);
    refused(() => task({}, { constructor: 1 }), 'constructor');
    refused(() => task({}, JSON.parse('{"__proto__": 1}')), '__proto__');
  });

  it('reads values as strictly as the node does', () => {
    refused(() => task({}, { transfers: 'many' }), 'transfers');
    refused(() => task({}, { include: '*.jpg' }), 'include');
    refused(() => task({}, { checksum: 'true' }), 'checksum');
    refused(() => task({ allowOverrides: ['path'] }, { path: 'relative' }), 'path', /relative/);
    refused(() => task({ allowOverrides: ['folder'] }, { folder: '.node-red-cloud-sync' }), 'folder');
    refused(
      () => task({ snapshot: true, allowOverrides: ['direction'] }, { direction: 'pull' }),
      'snapshot',
      /push/,
    );
    refused(
      () => task({ snapshot: true, allowOverrides: ['transferMode'] }, { transferMode: 'move' }),
      'snapshot',
      /move/,
    );
    refused(() => task({}, { include: ['a[b'] }), 'include', /pattern "a\[b" can't be used/);
    refused(() => task({}, { exclude: ['{{(}}'] }), 'exclude', /can't be used/);
    refused(() => task({}, { bandwidthLimit: rows('23:00', '08:00') }), 'bandwidthLimit', /order/);
    refused(() => task({}, { bandwidthLimit: rows('08:00', '08:00') }), 'bandwidthLimit', /two rows/);
    assert.equal(task({ allowOverrides: ['folder'] }, { folder: '' }).folder, '');
    assert.equal(task({ transfers: 4 }, { transfers: null }).transfers, null);
  });

  it('may make a run dry, not wet', () => {
    assert.equal(task({}, { dryRun: true }).dryRun, true);
    assert.equal(task({ dryRun: true }, { dryRun: true }).dryRun, true);
    assert.equal(task({}, { dryRun: false }).dryRun, false);
    refused(() => task({ dryRun: true }, { dryRun: false }), 'dryRun');
  });

  const limits: Array<[unknown, unknown, boolean]> = [
    ['50%', '20%', true],
    ['50%', '50%', true],
    ['50%', '51%', false],
    ['50%', 0, true],
    ['50%', 10, false],
    ['50%', null, false],
    [100, 99, true],
    [100, 101, false],
    [100, '1%', false],
    [100, null, false],
    ['', '99%', true],
    ['', 1_000_000, true],
    ['', null, true],
    [0, 1, false],
  ];
  for (const [node, message, allowed] of limits) {
    it(`may ${allowed ? '' : 'not '}change maxDelete from ${JSON.stringify(node)} to ${JSON.stringify(message)}`, () => {
      if (allowed) assert.equal(task({ maxDelete: node }, { maxDelete: message }).maxDelete, message);
      else refused(() => task({ maxDelete: node }, { maxDelete: message }), 'maxDelete', /may only lower it/);
    });
  }
});

function rows(...times: string[]) {
  return times.map((time) => ({ time, bandwidth: 1000 }));
}

describe('restore and verify settings', () => {
  const restored = (config = {}, message = {}, of = task()) =>
    readRestore({ id: 'r1', path: '/srv/restored', ...config }, of, message);

  it('has the defaults of the contract', () => {
    assert.deepEqual(restored(), {
      path: '/srv/restored',
      transferMode: 'copy',
      include: [],
      exclude: [],
      thaw: false,
      thawTier: '',
      thawDays: null,
      dryRun: false,
    });
    assert.deepEqual(readVerify({ id: 'v1' }), { method: 'metadata', sample: 10 });
  });

  it('takes paths and a time from the message', () => {
    const restore = restored(
      {},
      {
        overrides: { asOf: '2025-03-01T12:00:00Z', include: ['*.jpg'] },
        payload: { paths: ['./a/b.jpg', 'c/'] },
      },
    );
    assert.equal(restore.asOf, Date.UTC(2025, 2, 1, 12));
    assert.deepEqual(restore.include, ['*.jpg']);
    assert.deepEqual(restore.paths, ['a/b.jpg', 'c']);
    assert.equal(restored({}, { payload: { runId: 'x' } }).paths, undefined);
    assert.equal(restored({}, { payload: 'x' }).paths, undefined);
  });

  it('refuses paths that would leave the folder, or name nothing', () => {
    for (const paths of [[], 'a', [''], ['/etc/passwd'], ['a/../../b'], [1], ['./']]) {
      refused(() => restored({}, { payload: { paths } }), 'paths');
    }
  });

  it('refuses what can not be used', () => {
    refused(() => restored({ path: '' }), 'path', /restore into/);
    refused(() => restored({ path: 'x' }), 'path', /relative/);
    refused(() => restored({ transferMode: 'move' }), 'transferMode');
    refused(() => restored({ asOf: 'yesterday' }), 'asOf', /2025-03-01/);
    const pull = task({ direction: 'pull' });
    refused(() => restored({ asOf: '2025-03-01' }, {}, pull), 'asOf', /pull/);
    refused(() => restored({ thaw: true }, {}, pull), 'thaw', /pull/);
    refused(
      () => readVerify({ id: 'v1', method: 'guess' }),
      'method',
      /metadata, checksum, download, sample/,
    );
    refused(() => readVerify({ id: 'v1', sample: 0 }), 'sample');
  });

  const values: Record<string, unknown> = {
    name: 'x',
    path: '/srv/other',
    transferMode: 'sync',
    include: ['*.jpg'],
    exclude: ['*.tmp'],
    asOf: '2025-03-01',
    thaw: true,
    thawTier: 'Bulk',
    thawDays: 3,
    dryRun: true,
    allowOverrides: ['path'],
    task: 't2',
    transfers: 4,
  };
  it('is tested for every property there is', () => {
    for (const name of Object.keys(RESTORE_PROPERTIES)) assert.ok(name in values, name);
  });
  for (const [name, value] of Object.entries(values)) {
    const run = (allowOverrides: string[]) => restored({ allowOverrides }, { overrides: { [name]: value } });
    if (['include', 'exclude', 'asOf', 'dryRun'].includes(name)) {
      it(`lets a message set ${name} always`, () => assert.ok(run([])));
    } else if (['path', 'transferMode'].includes(name)) {
      it(`lets a message set ${name} only where allowOverrides names it`, () => {
        refused(() => run([]), name);
        assert.equal((run([name]) as unknown as Record<string, unknown>)[name], value);
      });
    } else {
      it(`never lets a message set ${name}`, () => {
        refused(() => run([...LISTED_RESTORE_OVERRIDES]), name);
      });
    }
  }
  it('never makes a dry restore wet', () => {
    refused(() => restored({ dryRun: true }, { overrides: { dryRun: false } }), 'dryRun');
  });
});

describe('credential settings', () => {
  const read = (config = {}, secrets = {}) =>
    readCredential(
      { id: 'c1', name: 'Home', provider: 's3', ...config },
      { accessKeyId: 'AKID', secretAccessKey: 'hidden-secret', ...secrets },
    );

  it('parts saved properties from secrets, by the provider table', () => {
    const credential = read({
      region: 'eu-central-1',
      forcePathStyle: 'true',
      maxUploadParts: '1000',
      wires: [],
    });
    assert.deepEqual(credential.config, {
      region: 'eu-central-1',
      forcePathStyle: true,
      maxUploadParts: 1000,
    });
    assert.deepEqual(credential.secrets, { accessKeyId: 'AKID', secretAccessKey: 'hidden-secret' });
    assert.equal(credential.name, 'Home');
  });

  it('names the credential node and the field that is missing', () => {
    const error = refused(
      () => read({}, { secretAccessKey: '' }),
      'secretAccessKey',
      undefined,
      'CREDENTIAL_MISSING',
    );
    assert.match(`${error.message} ${error.advice}`, /cloud-credential "Home".*Open cloud-credential "Home"/);
    refused(() => read({ name: '' }, { accessKeyId: undefined }), 'accessKeyId', /c1/, 'CREDENTIAL_MISSING');
  });

  it('refuses what can not be used, without showing a secret', () => {
    refused(() => read({ provider: 'ftp' }), 'provider', /s3/);
    refused(() => read({ endpoint: 's3.example.com' }), 'endpoint', /https:/);
    refused(() => read({ region: 'evil.example.com/' }), 'region');
    refused(() => read({ maxUploadParts: 0 }), 'maxUploadParts');
    const error = refused(() => read({ endpoint: 1 }), 'endpoint');
    assert.doesNotMatch(error.message, /hidden-secret/);
  });
});
