/** How long a server is waited for that is out of reach: the policy alone, and on requests. */

import assert from 'node:assert/strict';
import { CloudSyncError, type ErrorCode } from '../../src/errors.js';
import { DEFAULT_RETRY_POLICY, type RetryPolicy, retryPolicyOf, withRetries } from '../../src/stores/http.js';
import { contentOf, rejectsWith } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const QUICK: RetryPolicy = {
  attempts: 3,
  baseDelayMs: 1,
  maxDelayMs: 2,
  maxRetryAfterMs: 100,
  outageMs: 100,
};

/** How often it is tried, and for how long, while every attempt fails with `code`. */
async function giveUp(code: ErrorCode, policy: RetryPolicy, answeredAt: () => number | undefined) {
  let attempts = 0;
  const start = performance.now();
  const failing = async () => {
    attempts += 1;
    throw new CloudSyncError(code, 'Made by the test');
  };
  const error = await rejectsWith(
    () => withRetries(failing, policy, { answeredAt }),
    code,
    'ENDPOINT_UNREACHABLE',
  );
  return { attempts, error, ms: performance.now() - start };
}

const earlier = () => 0;
const never = () => undefined;
const meanwhile = () => performance.now();

describe('an outage', () => {
  for (const code of ['ENDPOINT_UNREACHABLE', 'CONNECTION_LOST', 'TIMEOUT'] as const) {
    it(`is waited for by the clock and not by attempts: ${code}`, async () => {
      const { attempts, error, ms } = await giveUp(code, QUICK, earlier);
      assert.ok(attempts > QUICK.attempts && ms >= 99, `${attempts} attempts in ${ms} ms`);
      // The run ends: no other file would fare better.
      assert.equal(error.code, 'ENDPOINT_UNREACHABLE');
      assert.equal(error.message, 'Made by the test, and no answer came for 1 min');
    });
  }

  it('is one too where others were answered when it began', async () => {
    const answered = performance.now() + 2;
    const slower = { ...QUICK, baseDelayMs: 10, maxDelayMs: 10 };
    const { attempts } = await giveUp('CONNECTION_LOST', slower, () => answered);
    assert.ok(attempts > QUICK.attempts);
  });

  it('is none where the server never answered, answers others, or answers that it failed', async () => {
    for (const [code, answeredAt] of [
      ['ENDPOINT_UNREACHABLE', never],
      ['CONNECTION_LOST', meanwhile],
      ['SERVER_ERROR', earlier],
    ] as const) {
      const { attempts, error } = await giveUp(code, QUICK, answeredAt);
      assert.deepEqual([attempts, error.code], [3, code]);
    }
  });

  it('of three minutes is waited for by a run, and none by a person', () => {
    assert.equal(retryPolicyOf({}).outageMs, 180_000);
    // Back from it, at most so long until that is noticed.
    assert.equal(DEFAULT_RETRY_POLICY.maxDelayMs, 20_000);
    const patience = { attempts: 2, connectTimeoutMs: 4_000, silenceMs: 15_000 };
    assert.equal(retryPolicyOf({ patience }).outageMs, 0);
  });

  describe('of a server', () => {
    let server: S3Server;
    before(async () => {
      server = await startS3Server({ buckets: [BUCKET] });
    });
    afterEach(closeAll);
    after(() => server.stop());

    it('ends, and the request goes on', async () => {
      const tuning = { retryPolicy: { attempts: 2, baseDelayMs: 1, maxDelayMs: 5, outageMs: 30_000 } };
      const { store, retries } = openAt(server, { tuning });
      await store.write('before', contentOf('x'));
      await server.refuseConnections();
      const written = store.write('during', contentOf('x'));
      while (retries.length < 10) await new Promise((resolve) => setTimeout(resolve, 5));
      await server.acceptConnections();
      await written;
      assert.ok(retries.every(({ code }) => code === 'ENDPOINT_UNREACHABLE' || code === 'CONNECTION_LOST'));
    });
  });
});
