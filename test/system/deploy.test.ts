import assert from 'node:assert/strict';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const MIB = 1024 * 1024;
/** The film; less where nobody asks for the whole of it, so that the test is quick. MiB. */
const SIZE = process.env.CI_REQUIRE_SERVERS === '1' ? 1024 : 160;

describe('A deploy in the middle of a run', function () {
  this.timeout(180_000);
  let station: Station;
  let source: string;

  before(async () => {
    station = await Station.start({ server: { inMemoryBytes: 0 } });
    source = station.path('source');
    mkdirSync(source);
  });

  after(() => station?.stop());

  /** Starts a push of a file that takes its time, and waits until it is well under way. */
  async function underWay(node: string): Promise<number> {
    const mark = await station.press(node);
    await until(
      () => station.progressOf(node).some(({ percent }) => percent > 5),
      'the push is under way',
      60_000,
    );
    return mark;
  }

  it(`leaves one run and one report where the flows are the same: a push of ${SIZE} MiB`, async () => {
    const { server } = station;
    writeFileSync(station.path('source', 'film.mkv'), '');
    truncateSync(station.path('source', 'film.mkv'), SIZE * MIB);
    server.network.bandwidth = 100 * MIB;
    const flows = [station.task('film', { path: source })];
    await station.deploy(flows);
    const mark = await underWay('film');
    await station.deploy(flows);
    const deployed = Date.now();
    const later = await until(
      () => station.progressOf('film').find(({ time, percent }) => time > deployed && percent > 20),
      'progress goes on after the deploy',
      60_000,
    );
    await station.deploy(flows);
    const report = await station.report(mark, 120_000);
    assert.equal(report.status, 'success', JSON.stringify(report.errors));
    assert.equal(report.runId, later.runId);
    assert.deepEqual(report.transferred, { files: 1, bytes: SIZE * MIB });

    await until(
      () => station.records.some(({ node, kind }) => node === 'film' && kind === 'complete'),
      'the Complete node hears of it',
    );
    assert.deepEqual(await station.history('film').then((runs) => runs.map(({ runId }) => runId)), [
      report.runId,
    ]);
    const left = station.records.filter(
      ({ node, kind }) => node === 'film' && /output [12]|catch|complete/.test(kind),
    );
    assert.deepEqual(left.map(({ kind }) => kind).sort(), ['complete', 'output 1']);
    const shown = station.progressOf('film');
    assert.deepEqual([...new Set(shown.map(({ runId }) => runId))], [report.runId]);
    for (const [index, { percent }] of shown.entries())
      assert.ok(percent >= (shown[index - 1]?.percent ?? 0));
    const { counts } = server.requests;
    assert.equal(counts.CreateMultipartUpload, 1);
    assert.equal(counts.CompleteMultipartUpload, 1);
    assert.equal(counts.UploadPart, SIZE / 8, 'no part was sent twice');
    assert.equal(server.objects.find(BUCKET, 'film/film.mkv')?.size, SIZE * MIB);
  });

  describe('that changes or removes the node', () => {
    before(() => {
      truncateSync(station.path('source', 'film.mkv'), 40 * MIB);
      station.server.network.bandwidth = 5 * MIB;
    });

    it('ends the run of a changed node, which then runs as it is now', async () => {
      await station.deploy([station.task('changed', { path: source })]);
      await underWay('changed');
      assert.equal(station.children.length, 1);
      await station.deploy([station.task('changed', { path: source, exclude: ['*.tmp'] })]);
      const ended = await until(async () => (await station.history('changed'))[0], 'the run ends', 10_000);
      assert.equal(ended.status, 'aborted');
      assert.match(ended.warnings.at(-1)!.message, /node was changed by a deploy/);
      await until(() => station.children.length === 0, 'its process ends', 10_000);
      assert.equal(station.server.objects.find(BUCKET, 'changed/film.mkv'), undefined);

      station.server.network.bandwidth = 0;
      const report = await station.runWell('changed');
      assert.equal(report.transferred.files, 1);
      assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);
      station.server.network.bandwidth = 5 * MIB;
    });

    it('ends the run of a removed node', async () => {
      const task = station.task('removed', { path: source });
      await station.deploy([task]);
      const mark = await underWay('removed');
      await station.deploy([station.task('other', { path: source })]);
      await until(() => station.children.length === 0, 'its process ends', 10_000);
      assert.equal(station.server.objects.find(BUCKET, 'removed/film.mkv'), undefined);
      assert.ok(!station.records.some((record) => record.mark === mark && /output [12]/.test(record.kind)));

      await station.deploy([task]);
      const [ended] = await station.history('removed');
      assert.equal(ended?.status, 'aborted');
      assert.match(ended.warnings.at(-1)!.message, /node was removed or disabled/);
      station.server.network.bandwidth = 0;
      await station.runWell('removed');
      assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);
    });
  });
});
