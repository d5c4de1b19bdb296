import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FlowNode } from '../../scripts/demo/node-red.js';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const isRoot = process.getuid?.() === 0;

/** Root reads every file: Node-RED is started without that privilege. */
function withoutPrivilege(): readonly string[] | undefined {
  return isRoot ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : undefined;
}

interface Case {
  name: string;
  /** Properties of the task that are wrong. */
  task?: Record<string, unknown>;
  message?: Record<string, unknown>;
  code: string;
  /** Property at fault. */
  field?: string;
  path?: string;
  /** `errors[0]` of the report. `FOLDER` and `ENDPOINT` stand for what they are here. */
  says: string;
  advice: string;
  /** Other files arrive all the same. */
  others?: boolean;
  /** It is tried several times before it is given up: pressed first, looked at in its turn. */
  slow?: boolean;
}

const CASES: Case[] = [
  {
    name: 'no credential is chosen',
    task: { credential: '' },
    code: 'CREDENTIAL_MISSING',
    field: 'credential',
    says: 'No cloud-credential is chosen',
    advice: 'Choose one in the node and deploy.',
  },
  {
    name: 'the credential is missing',
    task: { credential: 'nowhere' },
    code: 'CREDENTIAL_MISSING',
    field: 'credential',
    says: 'The cloud-credential nowhere that this node uses is missing',
    advice: 'Choose another one in the node and deploy.',
  },
  {
    name: 'the credential has no secret',
    task: { credential: 'without-secret' },
    code: 'CREDENTIAL_MISSING',
    field: 'secretAccessKey',
    says: 'cloud-credential "Half" has no secretAccessKey',
    advice: 'Open cloud-credential "Half", fill in secretAccessKey and deploy.',
  },
  {
    name: 'the access key is wrong',
    task: { credential: 'wrong-key' },
    code: 'WRONG_KEY',
    field: 'accessKeyId',
    says: 'The server does not know this access key (credential "Wrong key")',
    advice: 'Check the access key ID, and that it belongs to this endpoint and was not deleted or disabled.',
  },
  {
    name: 'the secret is wrong',
    task: { credential: 'wrong-secret' },
    code: 'WRONG_SECRET',
    field: 'secretAccessKey',
    says: 'The secret access key does not fit the access key (credential "Wrong secret")',
    advice:
      'Type the secret access key again; it is shown only once when the key is made, so make a new key if it is lost.',
  },
  {
    name: 'the bucket is missing',
    task: { bucket: 'no-such-bucket' },
    code: 'BUCKET_NOT_FOUND',
    field: 'bucket',
    says: 'There is no bucket "no-such-bucket"',
    advice: "Check the bucket's name, or create it first.",
  },
  {
    name: 'no bucket is chosen',
    task: { bucket: '' },
    code: 'INVALID_INPUT',
    field: 'bucket',
    says: 'bucket is empty',
    advice: 'Choose a bucket in the node.',
  },
  {
    name: 'the endpoint is unreachable',
    slow: true,
    task: { credential: 'unreachable' },
    code: 'ENDPOINT_UNREACHABLE',
    field: 'endpoint',
    says: 'ENDPOINT refuses the connection (ECONNREFUSED) (credential "Far away")',
    advice: 'Check host and port of the endpoint, that the server runs, and firewalls and proxies between.',
  },
  {
    name: 'the path is relative',
    task: { path: 'photos/2024' },
    code: 'INVALID_INPUT',
    field: 'path',
    says: 'path is "photos/2024", a relative path',
    advice: 'Write the whole path of the folder, starting with /.',
  },
  {
    name: 'the path is empty',
    task: { path: '' },
    code: 'INVALID_INPUT',
    field: 'path',
    says: 'path is empty',
    advice: 'Choose the local folder in the node.',
  },
  {
    name: 'the folder is missing',
    task: { path: 'FOLDER/not there' },
    code: 'NOT_FOUND',
    field: 'path',
    says: 'The folder FOLDER/not there does not exist',
    advice: 'Check the path, and whether the disk or share it lies on is mounted.',
  },
  {
    name: 'a file stands where the folder should be',
    task: { path: 'FOLDER/photos/a.txt' },
    code: 'INVALID_INPUT',
    field: 'path',
    says: 'FOLDER/photos/a.txt is not a folder',
    advice: 'Enter the path of a folder.',
  },
  {
    name: 'a file is unreadable',
    task: { path: 'FOLDER/unreadable' },
    code: 'NO_PERMISSION',
    path: 'secret.txt',
    says: 'Cannot open "secret.txt": permission denied',
    advice: 'Give the user that Node-RED runs as the right to it.',
    others: true,
  },
  {
    name: 'msg.cloudSync has an unknown property',
    message: { cloudSync: { exclud: ['*.tmp'] } },
    code: 'INVALID_INPUT',
    field: 'exclud',
    says: "msg.cloudSync.exclud: a message can't set this on a cloud-sync node",
    advice:
      'A message may set include, exclude, checksum, transfers, bandwidthLimit, dryRun, maxDelete here.',
  },
  {
    name: 'msg.cloudSync loosens',
    message: { cloudSync: { path: '/' } },
    code: 'INVALID_INPUT',
    field: 'path',
    says: "msg.cloudSync.path: this node doesn't let messages change it",
    advice: 'Tick path under "Messages may change" in the node.',
  },
  {
    name: 'msg.action is unknown',
    message: { action: 'stop' },
    code: 'INVALID_INPUT',
    field: 'action',
    says: 'msg.action is "stop"',
    advice: 'Use "run" or "abort".',
  },
];

describe('Bad input', function () {
  this.timeout(120_000);
  let station: Station;
  const unreachable = 'http://127.0.0.1:9';

  before(async () => {
    station = await Station.start({
      wrapper: withoutPrivilege(),
      secrets: ['wrong+secret/of=nobody'],
    });
    mkdirSync(station.path('photos'));
    writeFileSync(station.path('photos', 'a.txt'), 'a');
    mkdirSync(station.path('unreadable'));
    writeFileSync(station.path('unreadable', 'open.txt'), 'open');
    writeFileSync(station.path('unreadable', 'secret.txt'), 'secret');
    chmodSync(station.path('unreadable', 'secret.txt'), 0);
    const wrong = (credentials: Record<string, string>, name: string) => ({ name, credentials });
    const { accessKeyId, secretAccessKey } = station.server;
    await station.deploy([
      station.credential(),
      station.credential('without-secret', wrong({ accessKeyId }, 'Half')),
      station.credential('wrong-key', wrong({ accessKeyId: 'AKIDNOBODY', secretAccessKey }, 'Wrong key')),
      station.credential(
        'wrong-secret',
        wrong({ accessKeyId, secretAccessKey: 'wrong+secret/of=nobody' }, 'Wrong secret'),
      ),
      station.credential('unreachable', { name: 'Far away', endpoint: unreachable }),
      ...CASES.map((one, index): FlowNode => {
        const path = fill(String(one.task?.path ?? 'FOLDER/photos'));
        return station.task(`case-${index}`, { folder: 'destination', ...one.task, path });
      }),
    ]);
    for (const [index, one] of CASES.entries()) {
      if (one.slow === true) marks.set(`case-${index}`, await station.press(`case-${index}`, one.message));
    }
  });

  after(() => station?.stop());

  const marks = new Map<string, number>();
  const press = async (id: string, one: Case) => marks.get(id) ?? (await station.press(id, one.message));
  const fill = (text: string) =>
    text.replaceAll('FOLDER', station.folder).replaceAll('ENDPOINT', new URL(unreachable).host);

  CASES.forEach((one, index) => {
    it(`says what is wrong, and nothing is changed: ${one.name}`, async () => {
      const id = `case-${index}`;
      const before = station.server.objects.keys(BUCKET);
      const mark = await press(id, one);
      const report = await station.report(mark);
      assert.equal(report.status, 'failed');
      assert.equal(report.errorCount, 1);
      const [error] = report.errors;
      assert.deepEqual(
        { ...error },
        {
          path: one.path ?? '',
          code: one.code,
          message: fill(one.says),
          advice: one.advice,
          ...(one.field === undefined ? {} : { field: one.field }),
        },
      );
      const caught = await until(
        () => station.records.find(({ kind, mark: its }) => kind === 'catch' && its === mark),
        'the Catch node gets it',
      );
      assert.equal(caught.node, id);
      assert.equal(caught.error?.code, one.code);
      const path = one.path === undefined || fill(one.says).includes(one.path) ? '' : `${one.path}: `;
      assert.equal(caught.error?.message, `Error: ${path}${fill(one.says)}. ${one.advice}`);
      assert.ok(
        !station.records.some(({ kind, mark: its }) => kind === 'complete' && its === mark),
        'a failure is not complete',
      );
      assert.deepEqual(
        station.server.objects.keys(BUCKET),
        one.others === true ? ['destination/open.txt'] : before,
      );
      assert.equal(report.transferred.files, one.others === true ? 1 : 0);
      assert.deepEqual(readdirSync(station.path('photos')), ['a.txt']);
      assert.equal(readFileSync(station.path('photos', 'a.txt'), 'utf8'), 'a');
      assert.ok(!existsSync(station.path('not there')));
    });
  });
});

describe('A full disk', function () {
  this.timeout(120_000);
  let station: Station;
  let disk: string;

  before(async function () {
    if (process.platform !== 'linux' || !isRoot) {
      console.warn(
        '\n    !!! Only root on Linux can mount a small disk: a full one is not tested here !!!\n',
      );
      this.skip();
    }
    station = await Station.start();
    disk = station.path('disk');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      if (process.env.CI_REQUIRE_SERVERS === '1') throw error;
      console.warn(`\n    !!! No small disk could be mounted, a full one is not tested here: ${error} !!!\n`);
      this.skip();
    }
  });

  after(async () => {
    if (disk !== undefined) execFileSync('umount', [disk], { stdio: 'pipe' });
    await station?.stop();
  });

  it('fails a pull with the mend, keeps what was there and leaves no half file', async () => {
    const source = station.path('source');
    mkdirSync(source);
    writeFileSync(join(source, 'large.bin'), Buffer.alloc(4 << 20, 1));
    writeFileSync(join(source, 'small.txt'), 'new');
    const pull = { path: disk, direction: 'pull', folder: 'push' };
    await station.deploy([station.task('push', { path: source }), station.task('pull', pull)]);
    await station.runWell('push');
    writeFileSync(join(disk, 'large.bin'), 'the old one');
    const mark = await station.press('pull');
    const report = await station.report(mark);
    assert.equal(report.status, 'failed');
    assert.deepEqual(report.errors, [
      {
        path: 'large.bin',
        code: 'DISK_FULL',
        message: 'Cannot write "large.bin": the disk is full',
        advice: 'Make room on it, then run again.',
      },
    ]);
    await until(
      () => station.records.find(({ kind, mark: its }) => kind === 'catch' && its === mark),
      'the Catch node gets it',
    );
    assert.equal(readFileSync(join(disk, 'large.bin'), 'utf8'), 'the old one');
    // The small file may have come before the disk was full, which ends the run; half of it may not.
    const others = readdirSync(disk).filter((name) => name !== 'large.bin');
    assert.deepEqual(
      others.map((name) => [name, readFileSync(join(disk, name), 'utf8')]),
      others.length === 0 ? [] : [['small.txt', 'new']],
    );

    execFileSync('mount', ['-o', 'remount,size=16m', disk]);
    await station.runWell('pull');
    assert.equal(readFileSync(join(disk, 'large.bin')).length, 4 << 20);
    assert.deepEqual(readdirSync(disk).sort(), ['large.bin', 'small.txt']);
  });
});
