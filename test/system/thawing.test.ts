/** A restore from Glacier that outlives Node-RED: from the packed package, in a real one that is killed. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { openS3Account } from '../../src/stores/s3.js';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const HOUR = 3_600_000;

describe('a restore of archived objects over a restart of Node-RED', function () {
  this.timeout(90_000);
  let station: Station;
  before(async () => {
    station = await Station.start();
  });
  after(() => station.stop());

  const TREE = ['thawed', 'thawing', 'frozen a', 'frozen b', 'warm', 'left out'];

  const restoreNode = (changes = {}) => ({
    id: 'restore',
    type: 'cloud-restore',
    name: 'restore',
    task: 'photos',
    path: station.path('restored'),
    transferMode: 'copy',
    thaw: true,
    thawTier: 'Bulk',
    thawDays: 3,
    ...changes,
  });
  const deploy = (changes = {}) =>
    station.deploy([station.task('photos', { path: station.path('source') }), restoreNode(changes)]);
  const count = (operation: string) => station.server.requests.counts[operation] ?? 0;

  /** Thaws an object past Node-RED. */
  async function thaw(name: string): Promise<void> {
    const { server } = station;
    const { accessKeyId, secretAccessKey } = server;
    const config = { endpoint: server.url, region: server.region };
    const account = openS3Account(config, { accessKeyId, secretAccessKey }, {});
    await account.openStore(BUCKET).thaw(`photos/${name}`, { tier: 'Standard', days: 5 });
    await account.close();
  }

  it('goes on by itself, whole, as it was asked for', async () => {
    mkdirSync(station.path('source'));
    for (const name of TREE) writeFileSync(station.path('source', name), `content of ${name}`);
    await deploy();
    await station.runWell('photos');
    for (const name of TREE) {
      if (name === 'warm') continue;
      station.server.objects.change(BUCKET, `photos/${name}`, { storageClass: 'GLACIER' });
    }
    await thaw('thawed');
    station.server.clock.advance(6 * HOUR);
    await thaw('thawing');

    const before = count('RestoreObject');
    const paths = TREE.filter((name) => name !== 'left out');
    await station.press('restore', { topic: 'for grandma', payload: { paths } });
    await until(() => count('RestoreObject') === before + 2, 'the frozen ones are asked back');
    const frozen = () => station.progressOf('restore').at(-1)?.frozen;
    await until(() => frozen() === 3, 'progress tells how many are frozen');
    const isShown = () =>
      station.records.some(
        ({ node, status }) => node === 'restore' && /^3 still frozen/.test(status?.text ?? ''),
      );
    await until(isShown, 'status tells it too');
    await station.kill();

    station.server.clock.advance(13 * HOUR);
    const seen = station.records.length;
    await station.startNodeRed();
    const outcome = await until(
      () =>
        station.records.slice(seen).find(({ node, kind }) => node === 'restore' && /output [12]/.test(kind)),
      'the restore goes on and ends',
    );
    const report = outcome.payload as { status: string; errors: unknown[]; transferred: { files: number } };
    assert.deepEqual([outcome.kind, report.status, report.errors], ['output 1', 'success', []]);
    for (const name of paths) {
      assert.equal(readFileSync(station.path('restored', name), 'utf8'), `content of ${name}`);
    }
    assert.throws(() => readFileSync(station.path('restored', 'left out')), /ENOENT/);
    assert.equal(count('RestoreObject'), before + 2);
    assert.equal((await station.state('restore')).status, 'success');
    const completed = () =>
      station.records.slice(seen).some(({ node, kind }) => node === 'restore' && kind === 'complete');
    await until(completed, 'Complete nodes hear of it');
  });

  it('is not resumed as something else, and not twice', async () => {
    const again = station.path('again');
    await deploy({ path: again });
    station.server.objects.change(BUCKET, 'photos/left out', { storageClass: 'DEEP_ARCHIVE' });
    const before = count('RestoreObject');
    await station.press('restore', {});
    await until(() => count('RestoreObject') > before, 'what is frozen is asked back');
    await station.nodeRed.stop();
    // Changed while Node-RED was down.
    const file = station.path('node-red', 'flows.json');
    const flows = readFileSync(file, 'utf8');
    writeFileSync(file, flows.replaceAll(JSON.stringify(again), JSON.stringify(station.path('elsewhere'))));
    assert.notEqual(readFileSync(file, 'utf8'), flows);
    await station.startNodeRed();
    await until(
      () => station.lines.some((line) => line.includes('was interrupted is not resumed')),
      'it says that it does not go on',
    );
    assert.equal((await station.state('restore')).status, 'interrupted');
    assert.deepEqual(station.children, []);
  });
});
