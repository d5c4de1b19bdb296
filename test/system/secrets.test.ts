import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesWithSecrets, secretsIn } from './secrets.js';
import { BUCKET, Station, until } from './station.js';

/** Each with characters that look different in base64, in a URL and in JSON. */
const SECRET_KEY = 'plain/secret+key=with"quotes"&more';
const WRONG_SECRET = 'typed/wrong+by=mistake?';
const TOKEN = 'session/token+of=nobody==';
const PASSWORD = 'encryption pass/word+"1"';
const SALT = 'encryption salt/+="2"';
const SECRETS = [SECRET_KEY, WRONG_SECRET, TOKEN, PASSWORD, SALT];

/** A script that shows its environment and ends with `code`. */
const showing = (code: number) => `env; env >&2; exit ${code}`;

describe('Secrets', function () {
  this.timeout(120_000);
  let station: Station;

  before(async () => {
    station = await Station.start({ server: { secretAccessKey: SECRET_KEY }, secrets: SECRETS });
    mkdirSync(station.path('source'));
    writeFileSync(station.path('source', 'a.txt'), 'a');
    writeFileSync(station.path('source', 'film.mkv'), Buffer.alloc(24 << 20, 'film'));
    const { accessKeyId } = station.server;
    const credentials = (secrets: Record<string, string>) => ({
      credentials: { accessKeyId, secretAccessKey: SECRET_KEY, ...secrets },
    });
    const path = station.path('source');
    await station.deploy([
      station.credential(),
      station.credential('wrong', credentials({ secretAccessKey: WRONG_SECRET })),
      station.credential('with-token', credentials({ sessionToken: TOKEN })),
      station.task('plain', { path, preScript: showing(0), postScript: showing(0) }),
      station.task('encrypted', {
        path,
        encryption: true,
        filenameEncryption: true,
        credentials: { encryptionPassword: PASSWORD, encryptionSalt: SALT },
      }),
      station.task('failing-script', { path, preScript: showing(3) }),
      station.task('wrong-secret', { path, credential: 'wrong' }),
      station.task('refused-token', { path, credential: 'with-token' }),
      station.task('missing-bucket', { path, bucket: 'nowhere' }),
      station.task('wrong-password', {
        path: station.path('back'),
        direction: 'pull',
        folder: 'encrypted',
        encryption: true,
        filenameEncryption: true,
        credentials: { encryptionPassword: `${PASSWORD}!`, encryptionSalt: SALT },
      }),
      // Given to the script, kept out of what it prints.
      station.task('given', { path, scriptSecrets: true, preScript: showing(0), postScript: showing(0) }),
      { id: 'verify', type: 'cloud-verify', name: 'verify', task: 'encrypted', method: 'download' },
      {
        id: 'restore',
        type: 'cloud-restore',
        name: 'restore',
        task: 'encrypted',
        path: station.path('back'),
      },
    ]);
  });

  after(() => station?.stop());

  it('come out nowhere: runs of every end, scripts, a kill, an aborted upload, the sidebar and the dialogs', async () => {
    await station.runWell('plain');
    await station.runWell('given');
    await station.runWell('encrypted');
    await station.runWell('verify');
    await station.runWell('restore');
    const failing = ['failing-script', 'wrong-secret', 'refused-token', 'missing-bucket', 'wrong-password'];
    for (const node of failing) assert.equal((await station.run(node)).status, 'failed', node);

    // A kill leaves journal, marker and lock behind.
    writeFileSync(station.path('source', 'film.mkv'), Buffer.alloc(24 << 20, 'another'));
    const stalls = station.server.faults.add({
      operation: 'UploadPart',
      skip: 1,
      action: { type: 'stall-request', afterBytes: 0 },
    });
    await station.press('encrypted');
    await until(() => stalls.hits > 0, 'the upload is under way');
    await station.kill();
    const journal = join(station.dataFolder, 'state', 'encrypted', 'uploads.jsonl');
    assert.match(readFileSync(journal, 'utf8'), /uploadId/);
    station.assertNoSecrets();
    station.server.faults.clear();
    await station.startNodeRed();
    assert.equal((await station.state('encrypted')).status, 'interrupted');
    await station.runWell('encrypted');
    assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);

    // What any editor may ask.
    const routes = ['flows', 'cloud-sync/tasks', 'credentials/cloud-credential/credential', 'settings'];
    for (const node of ['plain', 'given', 'encrypted', ...failing]) {
      routes.push(`credentials/cloud-sync/${node}`, `cloud-sync/tasks/${node}/runs`);
      for (const { runId } of await station.history(node)) {
        routes.push(`cloud-sync/tasks/${node}/runs/${runId}/log?limit=1000`);
      }
    }
    for (const route of routes) {
      const text = await (await fetch(`${station.nodeRed.url}/${route}`)).text();
      assert.deepEqual(secretsIn(text, SECRETS), [], route);
    }
    const { entries } = await station.ask<{ entries: { event: string; message?: string }[] }>(
      `tasks/given/runs/${(await station.history('given'))[0]!.runId}/log?limit=1000`,
    );
    const printed = entries.filter(({ event }) => event === 'script').map(({ message }) => message);
    assert.ok(
      printed.includes('[Pre-script] CLOUD_SYNC_SECRET_ACCESS_KEY=***'),
      'the script was given the secret',
    );

    const typed = { provider: 's3', config: { endpoint: station.server.url }, secrets: {} };
    const secrets = { accessKeyId: station.server.accessKeyId, secretAccessKey: WRONG_SECRET };
    const asked = await fetch(`${station.nodeRed.url}/cloud-sync/credential/verify`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ credential: { ...typed, secrets } }),
    });
    const answer = await asked.text();
    assert.match(answer, /WRONG_SECRET/);
    assert.deepEqual(secretsIn(answer, SECRETS), []);

    station.assertNoSecrets();
  });

  it('are found by this search where they are', () => {
    // All five are stored, so a search that finds none of them there would prove nothing.
    const stored = filesWithSecrets(station.userDir, SECRETS, true);
    assert.ok(stored.some((file) => file.endsWith('flows_cred.json')));
    const text = readFileSync(join(station.userDir, 'flows_cred.json'), 'utf8');
    assert.deepEqual(secretsIn(text, SECRETS), [0, 1, 2, 3, 4]);
    for (const [index, secret] of SECRETS.entries()) {
      for (const form of [
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
        Buffer.from(`key:${secret}`).toString('base64'),
        Buffer.from(`{"a":"${secret}"}`).toString('base64url'),
      ]) {
        assert.deepEqual(secretsIn(`... ${form} ...`, SECRETS), [index], form);
      }
    }
    assert.deepEqual(secretsIn('nothing of that kind', SECRETS), []);
  });
});
