import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { CloudSyncError } from '../../src/errors.js';
import { UploadLane } from '../../src/stores/http/upload-lane.js';
import { rejectsWith } from '../conformance/support.js';

const LIFE = 20;
const BYTES = 8_000_000;

describe('the lane of large uploads', () => {
  let lane: UploadLane;
  let underWay: number;
  let most: number;
  beforeEach(() => {
    lane = new UploadLane(LIFE);
    most = 0;
    underWay = 0;
  });

  async function send(ms: number, error?: CloudSyncError): Promise<void> {
    underWay += 1;
    most = Math.max(most, underWay);
    await delay(ms);
    underWay -= 1;
    if (error !== undefined) throw error;
  }
  const upload = (ms = 1, error?: CloudSyncError, signal?: AbortSignal) =>
    lane.run(BYTES, () => send(ms, error), signal);
  const lost = () => new CloudSyncError('CONNECTION_LOST', 'Made by the test');
  const cut = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () => rejectsWith(() => upload(LIFE + 10, lost()), 'CONNECTION_LOST')),
    );
  /** How many go at once. */
  const width = async () => {
    most = 0;
    await Promise.all(Array.from({ length: 12 }, () => upload()));
    return most;
  };

  it('lets all through before there is trouble', async () => {
    assert.equal(await width(), 12);
  });

  it('halves with what was cut together, down to one, and says which was cut alone', async () => {
    const together = await cut(8);
    assert.ok(together.every(({ cutBody }) => cutBody === undefined));
    assert.equal(await width(), 4);
    await cut(4);
    assert.equal(await width(), 2);
    await cut(2);
    assert.equal(await width(), 1);
    const [alone] = await cut(1);
    assert.equal(alone?.cutBody, BYTES);
    assert.equal(await width(), 1);
  });

  it('grows again when enough has gone well', async () => {
    await cut(2);
    for (let sent = 0; sent < 16; sent += 1) await upload();
    assert.equal(await width(), 2);
  });

  it('takes no notice of what broke at once, and of other errors', async () => {
    const errors = [lost(), new CloudSyncError('SERVER_ERROR', 'Made by the test')];
    await rejectsWith(() => upload(LIFE + 10, errors[1]), 'SERVER_ERROR');
    assert.equal(await width(), 12);
    lane = new UploadLane(60_000);
    await rejectsWith(() => upload(0, errors[0]), 'CONNECTION_LOST');
    assert.ok(errors.every(({ cutBody }) => cutBody === undefined));
    assert.equal(await width(), 12);
  });

  it('loses no turn where one that waits is stopped', async () => {
    await cut(1);
    const stopping = new AbortController();
    const running = upload(10);
    const stopped = rejectsWith(() => upload(1, undefined, stopping.signal), 'ABORTED');
    const after = upload();
    stopping.abort();
    await Promise.all([running, stopped, after]);
    assert.equal(await width(), 1);
  });
});
