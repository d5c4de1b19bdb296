/** rclone, as it is, against the strict S3 server. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { type S3Server, startS3Server } from './s3/server.js';

describe('rclone with the strict S3 server', function () {
  this.timeout(60_000);
  let server: S3Server;
  let folder: string;

  before(async function () {
    const environment = { ...process.env };
    delete environment.AWS_CA_BUNDLE;
    if (spawnSync('rclone', ['version'], { env: environment }).status !== 0) {
      if (process.env.CI_REQUIRE_SERVERS === '1') throw new Error('rclone is required, but not installed');
      console.warn('\n    !!! rclone is not installed: the S3 server is not tested with it here !!!\n');
      this.skip();
    }
    server = await startS3Server({
      buckets: ['photos', { name: 'kept', versioning: 'Enabled' }],
      inMemoryBytes: 100_000,
    });
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rclone-test-'));
  });

  after(async () => {
    await server?.stop();
    if (folder !== undefined) fs.rmSync(folder, { recursive: true, force: true });
  });

  async function rclone(...args: string[]): Promise<string> {
    const environment: NodeJS.ProcessEnv = {
      ...process.env,
      RCLONE_CONFIG: path.join(folder, 'none.conf'),
      RCLONE_CONFIG_S3_TYPE: 's3',
      // Speaks as it does to AWS, but in path style.
      RCLONE_CONFIG_S3_PROVIDER: 'Minio',
      RCLONE_CONFIG_S3_ENDPOINT: server.url,
      RCLONE_CONFIG_S3_REGION: server.region,
      RCLONE_CONFIG_S3_FORCE_PATH_STYLE: 'true',
      RCLONE_CONFIG_S3_ACCESS_KEY_ID: server.accessKeyId,
      RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: server.secretAccessKey,
    };
    delete environment.AWS_CA_BUNDLE;
    const { stdout } = await promisify(execFile)(
      'rclone',
      ['--retries', '1', '--low-level-retries', '1', ...args],
      {
        env: environment,
        timeout: 30_000,
      },
    );
    return stdout;
  }

  /** What the server refused; rclone asks for objects that may be missing and makes buckets that are there. */
  function refused(from = 0): string[] {
    return server.requests.log
      .slice(from)
      .filter(({ status, operation }) => status >= 400 && status !== 404 && operation !== 'CreateBucket')
      .map(({ operation, errorCode }) => `${operation} ${errorCode}`);
  }

  it('copies, checks, lists and syncs a tree with odd names, times kept', async () => {
    const source = path.join(folder, 'source');
    const names = [
      'a',
      'a-b',
      'a.txt',
      'a+b &=%25#?',
      'sub/deep/é',
      'sub/😀',
      'sub/．',
      'quote\'"<>',
      'trailing ',
      'empty',
    ];
    for (const name of names) {
      const file = path.join(source, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, name === 'empty' ? '' : randomBytes(name.length * 1000));
      fs.utimesSync(file, 1_700_000_000.123456, 1_700_000_000.123456);
    }
    await rclone('copy', source, 's3:photos/tree');
    assert.equal(server.objects.keys('photos').length, names.length);
    await rclone('check', '--download', source, 's3:photos/tree');
    const listed = await rclone('lsl', 's3:photos/tree');
    assert.equal(listed.trim().split('\n').length, names.length);
    assert.match(listed, /2023-11-14 \d\d:13:20\.123456\d* sub\/😀/);

    const puts = server.requests.counts.PutObject;
    await rclone('sync', source, 's3:photos/tree');
    assert.equal(server.requests.counts.PutObject, puts, 'nothing was sent again');
    fs.rmSync(path.join(source, 'a'));
    fs.writeFileSync(path.join(source, 'a.txt'), 'changed');
    await rclone('sync', source, 's3:photos/tree');
    assert.equal(server.objects.find('photos', 'tree/a'), undefined);
    assert.equal(server.objects.bytes('photos', 'tree/a.txt').toString(), 'changed');

    const back = path.join(folder, 'back');
    await rclone('copy', 's3:photos/tree', back);
    for (const name of names.filter((known) => known !== 'a')) {
      assert.deepEqual(
        fs.readFileSync(path.join(back, name)),
        fs.readFileSync(path.join(source, name)),
        name,
      );
    }
    assert.equal(
      (await rclone('lsf', '-R', '--files-only', '--s3-list-version', '1', 's3:photos/tree'))
        .trim()
        .split('\n').length,
      names.length - 1,
    );
    await rclone('copy', 's3:photos/tree', 's3:photos/second');
    await rclone('check', 's3:photos/tree', 's3:photos/second');
    await rclone('purge', 's3:photos/tree');
    assert.deepEqual(
      server.objects.keys('photos').filter((key) => key.startsWith('tree/')),
      [],
    );
    assert.deepEqual(refused(), []);
  });

  it('uploads in parts and copies in parts', async () => {
    const file = path.join(folder, 'big');
    fs.writeFileSync(file, randomBytes(18 << 20));
    const from = server.requests.log.length;
    await rclone('copyto', '--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', file, 's3:photos/big');
    assert.match(server.objects.find('photos', 'big')?.etag ?? '', /-4$/);
    await rclone('copyto', '--s3-copy-cutoff', '6M', 's3:photos/big', 's3:photos/copy');
    await rclone('check', '--download', 's3:photos/big', file.slice(0, -4), '--include', '/big').catch(
      () => undefined,
    );
    assert.deepEqual(server.objects.bytes('photos', 'copy'), fs.readFileSync(file));
    assert.deepEqual(server.objects.pendingUploads('photos'), []);
    assert.deepEqual(refused(from), []);
  });

  it('reads versions and the bucket as it was', async () => {
    const file = path.join(folder, 'note');
    fs.writeFileSync(file, 'first');
    await rclone('copyto', file, 's3:kept/note');
    server.clock.advance(10 * 60_000);
    fs.writeFileSync(file, 'second, longer');
    await rclone('copyto', file, 's3:kept/note');
    await rclone('deletefile', 's3:kept/note');
    assert.equal((await rclone('lsf', 's3:kept')).trim(), '');
    assert.equal((await rclone('lsf', '--s3-versions', 's3:kept')).trim().split('\n').length, 2);
    const then = new Date(server.clock.now() - 5 * 60_000).toISOString();
    assert.equal(await rclone('cat', '--s3-version-at', then, 's3:kept/note'), 'first');
  });
});
