/**
 * Backups that rclone (or TrueNAS, which runs it) has made and we have never seen: verified and restored by the task that
 * the user describes, plain and through crypt, whose names are encrypted or not.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execute } from '../../src/runner/execute.js';
import type { RestoreSettings, TaskSettings, VerifySettings } from '../../src/runner/task.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { rcloneObscure } from './encryption/crypt-remote.js';
import { rcloneVersion, runRcloneAlongside } from './rclone.js';
import { setTime } from './sync-tree.js';

const MIB = 1024 * 1024;
const BUCKET = 'tank';
const FOLDER = 'backup of nas';
const FILES: readonly [path: string, size: number][] = [
  ['a.txt', 2],
  ['empty', 0],
  ['Grüße/世界 📷.jpg', 70_000],
  ['Grüße/e\u0301', 64 * 1024],
  ['odd/ leading and trailing ', 17],
  ['odd/．．', 18],
  ['odd/[a] {b} +%41.bin', 19],
  ['f1/f2/f3/deep', 1_000],
  ['parts.bin', 12 * MIB + 1],
];

/** Hash and time, ns, of every file below `folder`. */
function filesOf(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
    const { mtimeNs } = statSync(path, { bigint: true });
    files[path.slice(folder.length + 1)] = `${hash} ${mtimeNs / 1_000n}`;
  }
  return files;
}

describe('backups made by rclone', function () {
  this.timeout(120_000);
  let server: S3Server;
  let root: string;
  before(async function () {
    if (rcloneVersion() === undefined) {
      console.error('    rclone is not installed: its backups were not tried');
      this.skip();
    }
    server = await startS3Server();
  });
  after(() => server?.stop());
  beforeEach(() => {
    server.createBucket(BUCKET);
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-foreign-'));
    let time = 1_500_000_000_123_456_000n;
    for (const [index, [path, size]] of FILES.entries()) {
      const file = join(root, 'source', path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, pseudoRandomBytes(size, index + 1));
      time += 1_000_007_000n;
      setTime(file, time);
    }
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const KINDS: [string, Partial<TaskSettings>][] = [
    ['plain', {}],
    ...[true, false].flatMap((filenameEncryption) =>
      ['', 'a salt'].map((encryptionSalt): [string, Partial<TaskSettings>] => [
        `crypt with ${filenameEncryption ? 'encrypted' : 'plain'} names, ${encryptionSalt === '' ? 'no' : 'a'} salt`,
        { encryption: true, filenameEncryption, encryptionPassword: 'correct horse', encryptionSalt },
      ]),
    ),
  ];

  for (const [name, encryption] of KINDS) {
    it(`are verified and restored: ${name}`, async () => {
      const { url, region, accessKeyId, secretAccessKey } = server;
      const remote: Record<string, string> = {
        RCLONE_CONFIG_NAS_TYPE: 's3',
        RCLONE_CONFIG_NAS_PROVIDER: 'Other',
        RCLONE_CONFIG_NAS_ENDPOINT: url,
        RCLONE_CONFIG_NAS_REGION: region,
        RCLONE_CONFIG_NAS_ACCESS_KEY_ID: accessKeyId,
        RCLONE_CONFIG_NAS_SECRET_ACCESS_KEY: secretAccessKey,
        RCLONE_CONFIG_NAS_UPLOAD_CUTOFF: '5Mi',
        RCLONE_CONFIG_SAFE_TYPE: 'crypt',
        RCLONE_CONFIG_SAFE_REMOTE: `nas:${BUCKET}/${FOLDER}`,
        RCLONE_CONFIG_SAFE_FILENAME_ENCRYPTION: encryption.filenameEncryption ? 'standard' : 'off',
      };
      if (encryption.encryption) {
        remote.RCLONE_CONFIG_SAFE_PASSWORD = rcloneObscure(encryption.encryptionPassword!);
        if (encryption.encryptionSalt !== '') {
          remote.RCLONE_CONFIG_SAFE_PASSWORD2 = rcloneObscure(encryption.encryptionSalt!);
        }
      }
      const target = encryption.encryption ? 'safe:' : `nas:${BUCKET}/${FOLDER}`;
      const copied = await runRcloneAlongside(['copy', join(root, 'source'), target], remote);
      assert.equal(copied.exitCode, 0, copied.stderr);
      assert.equal(server.objects.keys(BUCKET).length, FILES.length);
      assert.ok(
        server.objects.keys(BUCKET).some((key) => server.objects.find(BUCKET, key)!.etag.includes('-3')),
      );

      const run = async (rest: Parameters<typeof runRequest>[2], changes: Partial<TaskSettings> = {}) => {
        const config = { endpoint: url, region };
        const secrets = { accessKeyId, secretAccessKey };
        const request = runRequest(
          join(root, 'data'),
          {
            credential: { id: 'c', name: '', provider: 's3', config, secrets },
            bucket: BUCKET,
            folder: FOLDER,
            path: join(root, 'source'),
            ...encryption,
            ...changes,
          },
          rest,
        );
        const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
        return await execute(request, host).result;
      };
      const verify = (method: VerifySettings['method']) =>
        run({ operation: 'verify', verify: { method, sample: 100 } });
      const restore = (path: string, changes: Partial<TaskSettings> = {}) => {
        const settings: RestoreSettings = {
          path,
          transferMode: 'copy',
          include: [],
          exclude: [],
          thaw: false,
          thawTier: '',
          thawDays: null,
          dryRun: false,
        };
        return run({ operation: 'restore', restore: settings }, changes);
      };

      for (const method of ['metadata', 'checksum', 'download'] as const) {
        const { status, verify: findings } = await verify(method);
        assert.deepEqual(
          [status, findings?.matched],
          ['success', FILES.length],
          `${method}: ${JSON.stringify(findings)}`,
        );
      }
      const restored = await restore(join(root, 'restored'));
      assert.deepEqual([restored.errors, restored.transferred.files], [[], FILES.length]);
      assert.deepEqual(filesOf(join(root, 'restored')), filesOf(join(root, 'source')));
      assert.deepEqual((await restore(join(root, 'restored'))).transferred.files, 0);

      if (encryption.encryption) {
        const wrong = await restore(join(root, 'wrong'), { encryptionPassword: 'wrong' });
        assert.deepEqual(
          wrong.errors.map(({ code }) => code),
          ['WRONG_PASSWORD'],
        );
      }

      // The largest object, one bit of its last block; its time and its claims stay.
      const key = server.objects.keys(BUCKET).reduce((a, b) => {
        return server.objects.find(BUCKET, a)!.size > server.objects.find(BUCKET, b)!.size ? a : b;
      });
      const bytes = server.objects.bytes(BUCKET, key);
      bytes[bytes.length - 3]! ^= 4;
      const { metadata } = server.objects.find(BUCKET, key)!;
      server.objects.put(BUCKET, key, bytes, { metadata });
      for (const method of ['checksum', 'download'] as const) {
        const { verify: findings } = await verify(method);
        assert.deepEqual([findings?.differs, findings?.matched], [['parts.bin'], FILES.length - 1], method);
      }
    });
  }
});
