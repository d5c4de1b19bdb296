/**
 * What a whole run says and does, at each provider, where the credential or the network is no good: the exact words, what
 * recovers, and that nothing half done stays behind.
 */

import assert from 'node:assert/strict';
import { readTree, writeTree } from '../engine/support.js';
import { type FaultProxy, startFaultProxy } from '../servers/fault-proxy.js';
import { FAR_ENDS, type FarEnd } from './far-ends.js';
import { FaultBench } from './fault-bench.js';

interface Words {
  /** `CODE: message`, and the field of the credential or task that is to be mended. */
  wrongKey: [said: string, field: string];
  wrongSecret: [said: string, field: string];
  missingBucket: [said: string, field: string];
  /** The credential became void in the middle; said of the file that met it. */
  revoked: string;
}

const WORDS: Record<string, Words> = {
  s3: {
    wrongKey: ['WRONG_KEY: The server does not know this access key (credential "Store")', 'accessKeyId'],
    wrongSecret: [
      'WRONG_SECRET: The secret access key does not fit the access key (credential "Store")',
      'secretAccessKey',
    ],
    missingBucket: ['BUCKET_NOT_FOUND: There is no bucket "not-there"', 'bucket'],
    revoked: 'CREDENTIAL_EXPIRED: The session token has expired or is not valid (credential "Store")',
  },
  b2: {
    wrongKey: [
      'WRONG_KEY: Backblaze does not know this application key ID, or the application key does not fit it (credential "Store")',
      'applicationKeyId',
    ],
    wrongSecret: [
      'WRONG_SECRET: The application key does not fit the application key ID (credential "Store")',
      'applicationKey',
    ],
    missingBucket: ['BUCKET_NOT_FOUND: There is no bucket "not-there"', 'bucket'],
    revoked: 'WRONG_KEY: The server does not know this application key ID (credential "Store")',
  },
  'azure-blob': {
    wrongKey: ['WRONG_KEY: There is no storage account "nobody" here (credential "Store")', 'accountName'],
    wrongSecret: [
      'WRONG_SECRET: The account key does not fit the storage account "devstoreaccount1" (credential "Store")',
      'accountKey',
    ],
    missingBucket: [
      'BUCKET_NOT_FOUND: There is no container "not-there" in the storage account "devstoreaccount1"',
      'bucket',
    ],
    revoked: 'CREDENTIAL_EXPIRED: The SAS token ran out at 2025-01-02T00:00:00.000Z (credential "Store")',
  },
  'google-cloud-storage': {
    wrongKey: [
      'WRONG_KEY: Google does not know the service account "nobody@home-backup-123456.iam.gserviceaccount.com", or it is disabled (credential "Store")',
      'serviceAccountKey',
    ],
    wrongSecret: [
      'WRONG_SECRET: Google does not accept this key of the service account "backup@home-backup-123456.iam.gserviceaccount.com" (credential "Store")',
      'serviceAccountKey',
    ],
    missingBucket: ['BUCKET_NOT_FOUND: There is no bucket "not-there"', 'bucket'],
    revoked:
      'WRONG_KEY: Google does not know the service account "backup@home-backup-123456.iam.gserviceaccount.com", or it is disabled (credential "Store")',
  },
  dropbox: {
    wrongKey: ['WRONG_KEY: Dropbox does not accept the app key or its secret (credential "Store")', 'appKey'],
    wrongSecret: [
      'WRONG_SECRET: Dropbox does not accept the app key or its secret (credential "Store")',
      'appSecret',
    ],
    missingBucket: ['INVALID_INPUT: Dropbox has no buckets', 'bucket'],
    revoked: 'CREDENTIAL_EXPIRED: The sign-in to Dropbox is no longer valid (credential "Store")',
  },
};

/** Above every provider's size of a single request, with the least size of parts. */
const LARGE = 'x'.repeat(17 * 1024 * 1024);
const TREE = {
  ...Object.fromEntries(
    Array.from({ length: 12 }, (_, at) => [`folder ${at % 3}/${at}.txt`, `content ${at}`]),
  ),
  'large.bin': LARGE,
};
const CHUNK_MIB = 5;
/** Whose access tokens are renewed by a run; what the others have is void when its time is over. */
const RENEWED = ['google-cloud-storage', 'dropbox'];

describe('whole runs with a bad credential or network', function () {
  this.timeout(120_000);

  for (const [provider, start] of Object.entries(FAR_ENDS)) {
    describe(provider, () => {
      const words = WORDS[provider]!;
      let farEnd: FarEnd;
      let proxy: FaultProxy;
      let bench: FaultBench;

      before(async () => {
        farEnd = await start();
        proxy = await startFaultProxy(farEnd.url);
      });
      after(async () => {
        await proxy?.stop();
        await farEnd?.stop();
      });
      let count = 0;
      beforeEach(() => {
        bench = new FaultBench(farEnd, proxy.endpoint, `run-${++count}`);
        writeTree(bench.local, TREE);
      });
      afterEach(() => {
        proxy.rule = undefined;
        bench.dispose();
      });

      const failsAtOnce = async (
        options: Parameters<FaultBench['run']>[0],
        [said, field]: [string, string],
      ) => {
        const run = await bench.run(options);
        assert.deepEqual([run.status, run.said, run.errors[0]?.field], ['failed', [said], field]);
        assert.deepEqual(run.transferred, { files: 0, bytes: 0 });
      };
      /** Nothing half done is at the provider; gives the paths of what is there. */
      const isWholeWhatIsThere = async () => {
        const pulled = await bench.pull();
        if (pulled.said.join() !== '') assert.match(pulled.said.join(), /^SOURCE_EMPTY/);
        const [restored, local] = [readTree(bench.restored), readTree(bench.local)];
        for (const path of Object.keys(restored)) assert.ok(restored[path] === local[path], path);
        return Object.keys(restored);
      };
      const isComplete = async () =>
        assert.deepEqual((await isWholeWhatIsThere()).sort(), Object.keys(readTree(bench.local)).sort());

      it('wrong key', () => failsAtOnce({ access: farEnd.wrongKey }, words.wrongKey));
      it('wrong secret', () => failsAtOnce({ access: farEnd.wrongSecret }, words.wrongSecret));
      it('missing bucket', () => failsAtOnce({ bucket: 'not-there' }, words.missingBucket));

      it('asked to slow down for a while: waits as long as it is told, and goes on', async () => {
        const refusedAt: number[] = [];
        let answeredAt = 0;
        proxy.rule = (request) => {
          if (farEnd.kindOf(request) !== 'write') return undefined;
          if (refusedAt.length < 2) {
            refusedAt.push(performance.now());
            return { answer: farEnd.tooBusy(1) };
          }
          answeredAt ||= performance.now();
          return undefined;
        };
        const run = await bench.run({ transfers: 1, chunkSize: CHUNK_MIB });
        assert.deepEqual([run.status, run.said, run.transferred.files], ['success', [], 13]);
        const waited = answeredAt - refusedAt[0]!;
        assert.ok(waited >= 1_950, `asked again after ${waited} ms`);
        assert.equal(run.log.filter(({ event }) => event === 'retry').length, 2);
        await isComplete();
      });

      const expiring = async () => {
        let writes = 0;
        proxy.rule = (request) => {
          if (farEnd.kindOf(request) === 'write' && [3, 15].includes(++writes)) farEnd.expireTokens!();
          return undefined;
        };
        const run = await bench.run({ transfers: 1, chunkSize: CHUNK_MIB });
        assert.deepEqual([run.status, run.said, run.transferred.files], ['success', [], 13]);
        assert.ok(writes >= 15);
        await isComplete();
      };
      if (RENEWED.includes(provider))
        it('access token that expires, twice in the middle: goes on with a new one', expiring);

      for (const when of [3, 15]) {
        it(`credential that becomes void with the ${when}th write: stops, says so, and the next run completes`, async () => {
          const task = { transfers: 1, chunkSize: CHUNK_MIB };
          let writes = 0;
          let answer: ReturnType<FarEnd['revoke']>;
          proxy.rule = (request) => {
            if (farEnd.kindOf(request) === 'write' && ++writes === when) answer = farEnd.revoke();
            return answer === undefined ? undefined : { answer };
          };
          const run = await bench.run(task);
          assert.equal(run.status, 'failed');
          assert.deepEqual(
            [...new Set(run.errors.map(({ code, message }) => `${code}: ${message}`))],
            [words.revoked],
          );
          assert.ok(run.transferred.files < 13);
          proxy.rule = undefined;
          farEnd.restore();
          await isWholeWhatIsThere();
          const next = await bench.run(task);
          assert.deepEqual([next.status, next.said], ['success', []]);
          assert.ok(run.transferred.files + next.transferred.files >= 13);
          await isComplete();
          assert.equal(farEnd.unfinishedUploads?.() ?? 0, 0);
        });
      }
    });
  }

  it('no network: all providers say who refuses', async () => {
    await Promise.all(
      Object.values(FAR_ENDS).map(async (start) => {
        const farEnd = await start();
        await farEnd.stop();
        const bench = new FaultBench(farEnd, farEnd.url, 'run');
        try {
          writeTree(bench.local, { a: 'a' });
          const run = await bench.run();
          const host = new URL(farEnd.url).host;
          assert.deepEqual(run.said, [
            `ENDPOINT_UNREACHABLE: ${host} refuses the connection (ECONNREFUSED) (credential "Store")`,
          ]);
          assert.deepEqual([run.status, run.errors[0]?.field], ['failed', 'endpoint']);
        } finally {
          bench.dispose();
        }
      }),
    );
  });
});
