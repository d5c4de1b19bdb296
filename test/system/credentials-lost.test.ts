import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const PASSWORD = 'a long password';

describe("Node-RED's credentials, lost", function () {
  this.timeout(240_000);
  let station: Station;

  before(async () => {
    station = await Station.start();
    mkdirSync(station.path('source'));
    for (const name of ['a', 'b', 'c']) writeFileSync(station.path('source', `${name}.txt`), name);
    await station.deploy(nodes({ encryptionPassword: PASSWORD }));
    await station.runWell('photos');
  });
  after(() => station?.stop());

  const nodes = (credentials: Record<string, string>) => [
    station.credential(),
    station.task('photos', {
      path: station.path('source'),
      name: 'Family photos',
      encryption: true,
      filenameEncryption: true,
      maxDelete: '',
      // An empty one takes away what was typed before.
      credentials: { encryptionSalt: '', ...credentials },
    }),
  ];

  /** What is there, and what was asked to be written since the last reset. */
  const stored = () =>
    station.server.objects
      .keys(BUCKET)
      .map((key) => `${key} ${station.server.objects.find(BUCKET, key)!.etag}`);
  const writes = () => station.server.requests.log.filter(({ method }) => !/^(GET|HEAD)$/.test(method));

  /** Runs where a change is due, and must not come to anything. */
  async function refused(code: string, message: RegExp): Promise<void> {
    const before = stored();
    writeFileSync(station.path('source', 'new.txt'), 'new');
    rmSync(station.path('source', 'a.txt'), { force: true });
    station.server.requests.reset();
    const report = await station.run('photos');
    assert.deepEqual([report.status, report.errors.map((error) => error.code)], ['failed', [code]]);
    assert.match(report.errors[0]!.message, message);
    assert.deepEqual(writes(), []);
    assert.deepEqual(stored(), before);
  }

  it('write nothing where the file is gone, and name the node that lacks them', async () => {
    await station.kill();
    const file = ['flows_cred.json', 'flow_cred.json']
      .map((name) => join(station.userDir, name))
      .find(existsSync);
    assert.ok(file !== undefined, 'the file with the credentials');
    rmSync(file);
    await station.startNodeRed();
    await refused('CREDENTIAL_MISSING', /cloud-credential "My storage" has no accessKeyId/);
  });

  it('write nothing where the keys were typed anew and the password was not', async () => {
    await station.deploy(nodes({ encryptionPassword: '' }));
    await refused('INVALID_INPUT', /cloud-sync "Family photos": encryption is on without a password/);
  });

  it('write nothing under another password, nor under the same one with another salt', async () => {
    await station.deploy(nodes({ encryptionPassword: 'wrong horse' }));
    await refused('WRONG_PASSWORD', /password/);
    await station.deploy(nodes({ encryptionPassword: PASSWORD, encryptionSalt: 'not its salt' }));
    await refused('WRONG_PASSWORD', /password/);
  });

  it('go on where they were once all is typed again', async () => {
    await station.deploy(nodes({ encryptionPassword: PASSWORD }));
    const report = await station.runWell('photos');
    assert.deepEqual([report.transferred.files, report.deleted], [1, 1]);
    await until(() => station.children.length === 0, 'its process ends');
  });
});
