import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { until } from '../until.js';
import { filesWithSecrets, secretsIn } from './secrets.js';
import { BUCKET, Station } from './station.js';

/** Each with characters that look different in base64, in a URL and in JSON. */
const SECRET_KEY = 'plain/secret+key=with"quotes"&more';
const WRONG_SECRET = 'typed/wrong+by=mistake?';
const TOKEN = 'session/token+of=nobody==';
const PASSWORD = 'encryption pass/word+"1"';
const SALT = 'encryption salt/+="2"';
const SECRETS = [SECRET_KEY, WRONG_SECRET, TOKEN, PASSWORD, SALT];

/** A script that shows its environment and ends with `code`. */
const showing = (code: number) => `env; env >&2; exit ${code}`;
/** One that also keeps it where nobody takes anything out. */
const keeping = (file: string) => `env > ${file}; ${showing(0)}`;
/** One after which the process of the run is no more: the script's parent. */
const killing = (signal: string) => `env; kill -${signal} $PPID; sleep 5`;

/** Everything that editors are told over the websocket. */
class Listener {
  readonly frames: string[] = [];
  readonly #socket: WebSocket;

  constructor(url: string) {
    this.#socket = new WebSocket(`${url.replace('http', 'ws')}/comms`);
    this.#socket.addEventListener('message', ({ data }) => this.frames.push(String(data)));
  }

  async opened(): Promise<this> {
    if (this.#socket.readyState === WebSocket.CONNECTING) await once(this.#socket, 'open');
    this.#socket.send(JSON.stringify({ subscribe: 'cloud-sync/#' }));
    this.#socket.send(JSON.stringify({ subscribe: 'status/#' }));
    return this;
  }

  close(): void {
    this.#socket.close();
  }
}

/** What a process and those it started were given when they began: arguments and environment. */
function givenTo(processes: readonly number[]): string {
  return processes
    .flatMap((pid) => ['cmdline', 'environ'].map((name) => `/proc/${pid}/${name}`))
    .map((file) => {
      try {
        return readFileSync(file, 'latin1');
      } catch {
        // It has ended.
        return '';
      }
    })
    .join('\n');
}

/** What holds resumable addresses of uploads is for the user that Node-RED runs as alone. */
function assertPrivate(dataFolder: string): void {
  const state = join(dataFolder, 'state');
  const journals = readdirSync(state, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.name.startsWith('uploads'),
  );
  assert.ok(journals.length > 0);
  for (const { parentPath, name } of journals) {
    assert.equal(statSync(join(parentPath, name)).mode & 0o777, 0o600, name);
  }
}

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
      station.task('plain', {
        path,
        preScript: keeping(station.path('before.env')),
        postScript: keeping(station.path('after.env')),
      }),
      station.task('crashes', { path, preScript: killing('ABRT') }),
      station.task('is-killed', { path, preScript: killing('KILL') }),
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
    const listener = await new Listener(station.nodeRed.url).opened();
    await station.runWell('plain');
    for (const file of ['before.env', 'after.env']) {
      const given = readFileSync(station.path(file), 'utf8');
      assert.match(given, /CLOUD_SYNC_ACCESS_KEY_ID=/);
      assert.deepEqual(secretsIn(given, SECRETS), [], `without the box, ${file}`);
    }
    await station.runWell('given');
    await station.runWell('encrypted');
    await station.runWell('verify');
    await station.runWell('restore');
    const failing = [
      'failing-script',
      'crashes',
      'is-killed',
      'wrong-secret',
      'refused-token',
      'missing-bucket',
      'wrong-password',
    ];
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
    assert.ok(station.children.length > 0);
    const given = givenTo([station.nodeRed.process.pid!, ...station.children]);
    assert.deepEqual(secretsIn(given, SECRETS), [], 'arguments and environments of processes');
    listener.close();
    assert.ok(listener.frames.some((frame) => frame.includes('cloud-sync/task/encrypted')));
    assert.deepEqual(secretsIn(listener.frames.join('\n'), SECRETS), [], 'the websocket');
    await station.kill();
    const journal = join(station.dataFolder, 'state', 'encrypted', 'uploads.jsonl');
    assert.match(readFileSync(journal, 'utf8'), /uploadId/);
    assertPrivate(station.dataFolder);
    station.assertNoSecrets();
    station.server.faults.clear();
    await station.startNodeRed();
    assert.equal((await station.state('encrypted')).status, 'interrupted');
    await station.runWell('encrypted');
    assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);

    // What any editor may ask.
    const flows = readFileSync(join(station.userDir, 'flows.json'), 'utf8');
    assert.match(flows, /"cloud-credential"/);
    assert.deepEqual(secretsIn(flows, SECRETS), [], 'the flows file');
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

/** Each with characters that look different in base64, in a URL and in JSON. */
const OTHER_SECRETS = {
  b2: { applicationKeyId: '004abc', applicationKey: 'K004/secret+of"B2"=' },
  'azure-blob': {
    accountKey: Buffer.from('the account key of Azure, 64 bytes long or so it should be ++++').toString(
      'base64',
    ),
  },
  'google-cloud-storage': { serviceAccountKey: '' },
  dropbox: { appKey: 'abcdef', appSecret: 'secret/of+the"app"=', refreshToken: 'refresh-token/of+Dropbox=' },
  s3: {
    accessKeyId: 'AKIDECHO',
    secretAccessKey: 'secret/of+S3"echo"=',
    sessionToken: 'session/token+of"echo"==',
  },
};

/** A server that refuses everything, and repeats all it was sent. */
class Echo {
  readonly #server: Server;
  /** Paths that were asked for. */
  readonly asked: string[] = [];

  constructor() {
    this.#server = createServer(async (request, response) => {
      this.asked.push(request.url ?? '');
      const sent = await everythingOf(request);
      const isXml = !/json|form/.test(`${request.headers['content-type']} ${request.headers.accept}`);
      const text = JSON.stringify(sent).slice(1, -1);
      const xml = sent.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
      response.writeHead(403, { 'content-type': isXml ? 'application/xml' : 'application/json' });
      if (isXml)
        response.end(
          `<Error><Code>AccessDenied</Code><Message>${xml}</Message><AuthenticationErrorDetail>${xml}</AuthenticationErrorDetail></Error>`,
        );
      else
        response.end(
          `{"error":"${text}","error_summary":"${text}","error_description":"${text}","code":"${text}","message":"${text}"}`,
        );
    });
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function everythingOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString();
  return `${request.method} ${request.url} ${Object.entries(request.headers).join(' ')} ${body} ${decodeURIComponent(body)}`;
}

describe('Secrets of all providers', function () {
  this.timeout(120_000);
  const echo = new Echo();
  let station: Station;
  let secrets: string[];
  const given: Record<string, Record<string, string>> = { ...OTHER_SECRETS };
  let url: string;

  before(async () => {
    url = await echo.start();
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const key = {
      type: 'service_account',
      client_email: 'me@example.com',
      private_key: pem,
      private_key_id: 'id-of-the-key/+=',
    };
    given['google-cloud-storage'] = {
      serviceAccountKey: JSON.stringify({ ...key, token_uri: `${url}/token` }),
    };
    const lines = pem.split('\n').filter((line) => line.length > 40);
    secrets = [
      ...lines,
      ...Object.values(given)
        .flatMap((fields) => Object.entries(fields))
        .filter(
          ([name]) => !['applicationKeyId', 'accessKeyId', 'appKey', 'serviceAccountKey'].includes(name),
        )
        .map(([, secret]) => secret),
    ];
    station = await Station.start({ secrets });
    mkdirSync(station.path('source'));
    writeFileSync(station.path('source', 'a.txt'), 'a');
    await station.deploy(
      Object.keys(given).flatMap((provider) => [
        station.credential(`key-${provider}`, {
          provider,
          endpoint: url,
          accountName: 'photos',
          projectId: 'project',
          credentials: given[provider],
        }),
        station.task(provider, {
          credential: `key-${provider}`,
          path: station.path('source'),
          bucket: provider === 'dropbox' ? '' : BUCKET,
          preScript: showing(0),
          scriptSecrets: true,
        }),
      ]),
    );
  });

  after(async () => {
    await station?.stop();
    echo.stop();
  });

  it('come out nowhere, though the server repeats in its errors all that it was sent', async () => {
    for (const provider of Object.keys(given)) {
      echo.asked.length = 0;
      const report = await station.run(provider);
      assert.equal(report.status, 'failed', provider);
      assert.ok(echo.asked.length > 0, `${provider} was asked`);
      for (const route of ['credential/verify', 'folder']) {
        const config = { endpoint: url, accountName: 'photos', projectId: 'project', region: 'us-east-1' };
        const answer = await fetch(`${station.nodeRed.url}/cloud-sync/${route}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            credential: { provider, config, secrets: given[provider] },
            bucket: BUCKET,
            folder: '',
          }),
        });
        const text = await answer.text();
        assert.deepEqual(secretsIn(text, secrets), [], `${provider} ${route}: ${answer.status}`);
      }
      for (const { runId } of await station.history(provider)) {
        const log = await (
          await fetch(`${station.nodeRed.url}/cloud-sync/tasks/${provider}/runs/${runId}/log?limit=1000`)
        ).text();
        assert.match(log, /CLOUD_SYNC_/);
        assert.deepEqual(secretsIn(log, secrets), [], `${provider}: the log`);
      }
    }
    station.assertNoSecrets();
  });
});
