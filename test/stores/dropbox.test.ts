/** Dropbox on the strict fake: what goes wrong, in which words, and what it takes to go on. */

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { CloudSyncError, type ErrorCode } from '../../src/errors.js';
import { partSizeOf } from '../../src/stores/dropbox/upload.js';
import {
  beginSignIn,
  dropboxContentHash,
  finishSignIn,
  openDropboxAccount,
} from '../../src/stores/dropbox.js';
import { Hasher } from '../../src/stores/hashing.js';
import { partContent } from '../../src/stores/parts.js';
import { providerById } from '../../src/stores/registry.js';
import type { Account, AccountContext, Store, StoredObject, UploadState } from '../../src/stores/store.js';
import {
  closing,
  collect,
  contentOf,
  forEachParallel,
  listAll,
  listKeys,
  pseudoRandomBytes,
  readAll,
  streamedContent,
} from '../conformance/support.js';
import {
  type DropboxServer,
  type DropboxServerOptions,
  startDropboxServer,
} from '../servers/dropbox/server.js';

const MIB = 1024 * 1024;
const HOUR_MS = 3600_000;
/** Repeats at once: no test waits for a back-off. */
const QUICK = { retry: { attempts: 5, baseDelayMs: 1, maxDelayMs: 5, maxRetryAfterMs: 60_000 } };
const TIME = 1_600_000_000_000_000_000n;

describe('Dropbox', function () {
  this.timeout(60_000);
  let server: DropboxServer;
  let accounts: Account[] = [];

  afterEach(async () => {
    for (const account of accounts) await account.close();
    accounts = [];
    await server?.stop();
  });

  interface Way extends DropboxServerOptions {
    config?: Record<string, unknown>;
    secrets?: Record<string, string>;
    context?: AccountContext;
    silenceMs?: number;
  }

  const openAccount = (way: Way = {}): Account => {
    const account = openDropboxAccount(
      { endpoint: server.url, ...way.config },
      way.secrets ?? { refreshToken: server.refreshToken, appKey: server.appKey },
      way.context ?? {},
      way.silenceMs === undefined ? QUICK : { ...QUICK, silenceMs: way.silenceMs },
    );
    accounts.push(account);
    return account;
  };

  /** A server of its own, and a store on it. */
  const newStore = async (way: Way = {}): Promise<Store> => {
    server = await startDropboxServer({ port: 0, ...way });
    return openAccount(way).openStore('');
  };

  /** `action` fails with exactly this; nothing secret stands anywhere in the error. */
  const failsWith = async (
    action: () => Promise<unknown> | unknown,
    code: ErrorCode,
    message: string,
  ): Promise<CloudSyncError> => {
    let error: unknown;
    try {
      await action();
    } catch (caught) {
      error = caught;
    }
    assert.ok(error instanceof CloudSyncError, `no error of ours: ${inspect(error)}`);
    assert.equal(error.code, code, error.message);
    assert.equal(error.message, message);
    const everything = inspect(error, { depth: 10 });
    for (const secret of [server.refreshToken, server.accessToken, server.appSecret]) {
      assert.ok(!everything.includes(secret), 'the error holds a secret');
    }
    for (const { authorization } of server.log) {
      const token = authorization?.slice('Bearer '.length);
      if (token) assert.ok(!everything.includes(token), 'the error holds an access token');
    }
    return error;
  };

  const seed = (path: string, content: string | Buffer, time = Number(TIME / 1_000_000n)) =>
    server.tree.put(path, Buffer.from(content), time);

  describe('the credential', () => {
    it('is valid with a refresh token and its app key', async () => {
      await newStore();
      const check = await openAccount().check();
      assert.deepEqual(check, { account: 'Franz Ferdinand (franz@example.com)', notes: [] });
    });

    it('may be an access token alone, with a warning', async () => {
      await newStore();
      const check = await openAccount({ secrets: { accessToken: server.accessToken } }).check();
      assert.deepEqual(check.notes, [
        'An access token alone runs out after at most four hours: sign in to get a refresh token.',
      ]);
    });

    for (const field of ['accessToken', 'refreshToken']) {
      it(`may be a token of rclone, pasted as ${field}`, async () => {
        await newStore();
        const token = JSON.stringify({
          access_token: server.accessToken,
          token_type: 'bearer',
          refresh_token: server.refreshToken,
          expiry: new Date(Date.now() + HOUR_MS).toISOString(),
        });
        const account = openAccount({ secrets: { [field]: token, appKey: server.appKey } });
        await account.check();
        assert.equal(server.counts['oauth2/token'], undefined, 'the access token is still valid');
        server.authorization.expireAccessTokens();
        await account.check();
        assert.equal(server.counts['oauth2/token'], 1);
      });
    }

    it('pasted without its app is of use until it runs out', async () => {
      await newStore();
      const token = { access_token: server.accessToken, refresh_token: server.refreshToken, expiry: '' };
      const account = openAccount({ secrets: { refreshToken: JSON.stringify(token) } });
      await account.check();
      server.authorization.expireAccessTokens();
      const error = await failsWith(
        () => account.check(),
        'CREDENTIAL_EXPIRED',
        "The access token has run out, and without the app key it can't be renewed",
      );
      assert.equal(error.field, 'appKey');
    });

    it('of an app with a secret needs it', async () => {
      await newStore();
      const refreshToken = server.authorization.newRefreshToken(false);
      const { appKey, appSecret } = server;
      await openAccount({ secrets: { refreshToken, appKey, appSecret } }).check();
      const error = await failsWith(
        () => openAccount({ secrets: { refreshToken, appKey } }).check(),
        'WRONG_KEY',
        'Dropbox does not accept the app key or its secret',
      );
      assert.equal(error.field, 'appKey');
    });

    it('that is wrong says what is wrong with it', async () => {
      await newStore();
      const { appKey, refreshToken, accessToken } = server;
      const check = (secrets: Record<string, string>) => () => openAccount({ secrets }).check();
      const none = await failsWith(
        check({ appKey }),
        'CREDENTIAL_MISSING',
        'Neither a refresh token nor an access token is given',
      );
      assert.equal(none.field, 'refreshToken');
      const keyless = await failsWith(
        check({ refreshToken }),
        'CREDENTIAL_MISSING',
        'The refresh token is of no use without its app key',
      );
      assert.equal(keyless.field, 'appKey');
      await failsWith(
        check({ appKey: 'wrong', refreshToken }),
        'WRONG_KEY',
        'Dropbox does not accept the app key or its secret',
      );
      await failsWith(
        check({ appKey, refreshToken, appSecret: 'wrong' }),
        'WRONG_SECRET',
        'Dropbox does not accept the app key or its secret',
      );
      const revoked = await failsWith(
        check({ appKey, refreshToken: 'revoked' }),
        'CREDENTIAL_EXPIRED',
        'The sign-in to Dropbox is no longer valid',
      );
      assert.equal(
        revoked.advice,
        'Access was revoked, or the token is of another app: sign in to Dropbox again in the credential.',
      );
      await failsWith(
        check({ accessToken: `${accessToken}x` }),
        'WRONG_SECRET',
        'Dropbox does not know this access token, or it was revoked',
      );
      await failsWith(
        check({ accessToken: '{"access_token": ' }),
        'INVALID_INPUT',
        'The pasted token is no complete JSON',
      );
      await failsWith(
        check({ accessToken: '{"token": "x"}' }),
        'INVALID_INPUT',
        'The pasted JSON holds no token',
      );
      await failsWith(
        check({ accessToken: 'two\nlines' }),
        'INVALID_INPUT',
        'The token holds characters that no token has',
      );
      server.authorization.expireAccessTokens();
      const expired = await failsWith(
        check({ accessToken }),
        'CREDENTIAL_EXPIRED',
        'The access token has run out',
      );
      assert.equal(expired.advice, 'Sign in to Dropbox again in the credential.');
    });

    it('of an app without a permission names it', async () => {
      const store = await newStore();
      server.authorization.scopes.delete('files.content.write');
      const error = await failsWith(
        () => store.write('a', contentOf('x')),
        'NO_PERMISSION',
        'The Dropbox app lacks the permission files.content.write',
      );
      assert.match(error.advice!, /App Console/);
      server.authorization.scopes.delete('account_info.read');
      const check = await openAccount().check();
      assert.equal(check.account, undefined);
      assert.match(check.notes[0]!, /lacks the permission account_info\.read/);
    });

    it('is renewed when its token runs out in the middle of a run, once for all who need it', async () => {
      const store = await newStore();
      await forEachParallel([...Array(20).keys()], async (index) => {
        await store.write(`before/${index}`, contentOf(`${index}`));
      });
      const renewals = server.counts['oauth2/token']!;
      server.authorization.expireAccessTokens();
      await forEachParallel([...Array(20).keys()], async (index) => {
        await store.write(`after/${index}`, contentOf(`${index}`));
      });
      assert.equal((await listKeys(store, { prefix: 'after/' })).length, 20);
      // Calls that were under way with the old token may come back after the first renewal.
      assert.ok(server.counts['oauth2/token']! - renewals <= 2, String(server.counts['oauth2/token']));
      server.authorization.expireAccessTokens();
      server.authorization.revokeRefreshToken(server.refreshToken);
      await failsWith(
        () => store.write('late', contentOf('x')),
        'CREDENTIAL_EXPIRED',
        'The sign-in to Dropbox is no longer valid',
      );
    });

    it('knows addresses that are none, and servers that are no Dropbox', async () => {
      await newStore();
      await failsWith(
        () => openAccount({ config: { endpoint: 'dropbox' } }),
        'INVALID_INPUT',
        'The endpoint is no http or https address',
      );
      server.faults.add({ action: { type: 'status', status: 404 } });
      await failsWith(
        () => openAccount({ secrets: { accessToken: server.accessToken } }).check(),
        'BAD_ANSWER',
        'The answer makes no sense (404)',
      );
      const { url } = server;
      await server.stop();
      const host = new URL(url).host;
      await failsWith(
        () => openAccount({ config: { endpoint: url } }).check(),
        'ENDPOINT_UNREACHABLE',
        `${host} refuses the connection (ECONNREFUSED)`,
      );
    });

    it('leads to one store, without buckets', async () => {
      await newStore();
      const account = openAccount();
      const buckets = [];
      for await (const bucket of account.listBuckets()) buckets.push(bucket);
      assert.deepEqual(buckets, []);
      await failsWith(() => account.openStore('photos'), 'INVALID_INPUT', 'Dropbox has no buckets');
      await failsWith(() => account.createBucket('photos'), 'NOT_SUPPORTED', 'Dropbox has no buckets');
    });

    it('is described as data, and its store told apart without loading it', async () => {
      const store = await newStore();
      const provider = providerById('dropbox');
      assert.equal(provider.hasBuckets, false);
      assert.equal(provider.environmentType, 'DROPBOX');
      assert.equal(provider.identity?.({ endpoint: server.url }, {}, ''), store.identity);
      assert.equal(provider.identity?.({}, {}, ''), 'dropbox://api.dropboxapi.com');
      const open = await provider.load();
      const account = open({ endpoint: server.url }, { accessToken: server.accessToken }, {});
      accounts.push(account);
      assert.equal(account.identity, store.identity);
    });

    it('comes from a sign-in with PKCE', async () => {
      await newStore();
      const options = { endpoint: server.url };
      const { url, codeVerifier } = beginSignIn(server.appKey, options);
      const code = await (await fetch(url)).text();
      await failsWith(
        () => finishSignIn(server.appKey, code, 'x'.repeat(64), options),
        'CREDENTIAL_EXPIRED',
        'Dropbox does not accept the code of the sign-in',
      );
      const second = beginSignIn(server.appKey, { ...options, redirectUri: 'http://localhost/', state: 's' });
      const back = new URL((await fetch(second.url, { redirect: 'manual' })).headers.get('location')!);
      assert.equal(back.searchParams.get('state'), 's');
      const { refreshToken } = await finishSignIn(
        server.appKey,
        ` ${back.searchParams.get('code')}\n`,
        second.codeVerifier,
        { ...options, redirectUri: 'http://localhost/' },
      );
      await openAccount({ secrets: { refreshToken, appKey: server.appKey } }).check();
      assert.notEqual(second.codeVerifier, codeVerifier);
      const asked = new URL(beginSignIn('abc').url);
      assert.equal(asked.origin + asked.pathname, 'https://www.dropbox.com/oauth2/authorize');
      assert.equal(asked.searchParams.get('token_access_type'), 'offline');
      assert.equal(asked.searchParams.get('code_challenge_method'), 'S256');
      await failsWith(() => beginSignIn('not a key'), 'INVALID_INPUT', 'This is no app key of Dropbox');
    });
  });

  describe('roots', () => {
    it('are the space of the team for its members', async () => {
      const store = await newStore({ teamHome: '/Franz' });
      seed('/Team Photos/a', 'x');
      seed('/Franz/b', 'y');
      assert.deepEqual((await listKeys(store)).sort(), ['Franz/b', 'Team Photos/a']);
      const check = await openAccount().check();
      assert.deepEqual(check.notes, [
        'The account belongs to a team: folders are those of the team\'s space, its own is "Franz".',
      ]);
    });

    it('are the app folder for an app that is confined to it', async () => {
      const store = await newStore({ appFolder: '/Apps/Backup', teamHome: '/Franz' });
      seed('/Apps/Backup/mine', 'x');
      seed('/other', 'x');
      assert.deepEqual(await listKeys(store), ['mine']);
      await store.write('second', contentOf('y'));
      assert.ok(server.tree.find('/Apps/Backup/second'));
    });
  });

  describe('listing', () => {
    it('of 2,000 files is one page that tells all, and comparing them asks nothing', async () => {
      const kinds: string[] = [];
      const store = await newStore({ context: { onRequest: (kind) => kinds.push(kind) } });
      for (let index = 0; index < 2000; index++) seed(`/Backup/${index % 10}/${index}`, `content ${index}`);
      await listAll(store, { prefix: 'Backup/' });
      server.resetCounts();
      kinds.length = 0;
      const objects = await listAll(store, { prefix: 'Backup/' });
      assert.equal(objects.length, 2000);
      for (const object of objects) {
        assert.equal(object.modificationTime, TIME);
        const number = object.key.split('/')[2]!;
        const comparison = await store.compareContent!(object, contentOf(`content ${number}`), {
          claims: false,
        });
        assert.equal(comparison, 'equal');
      }
      const [first] = objects;
      const other = contentOf('x'.repeat(first!.size));
      assert.equal(await store.compareContent!(first!, other, { claims: false }), 'different');
      // 2,000 files and 11 folders.
      assert.deepEqual(server.counts, { 'files/list_folder': 1, 'files/list_folder/continue': 1 });
      assert.deepEqual(kinds, ['LIST', 'LIST']);
    });

    it('gives each folder one spelling, and the prefix as it was asked for', async () => {
      const store = await newStore();
      seed('/BACKUP/Photos/Paris/a', '1');
      // Dropbox promises the case of the last name only.
      seed('/BACKUP/Photos/Paris/b', '2').display = '/backup/photos/PARIS/b';
      seed('/BACKUP/Photos/c', '3').display = '/Backup/photos/c';
      const keys = await listKeys(store, { prefix: 'Backup/' });
      const spellings = new Set(keys.map((key) => key.split('/').slice(0, 2).join('/')));
      assert.equal(keys.length, 3);
      assert.equal(spellings.size, 1, [...spellings].join());
      assert.ok(keys.every((key) => key.startsWith('Backup/')));
      const parents = keys.filter((key) => !key.endsWith('c')).map((key) => key.slice(0, -1));
      assert.equal(new Set(parents).size, 1);
    });

    it('begins anew when Dropbox gives up the cursor', async () => {
      const store = await newStore({ pageLimit: 10 });
      for (let index = 0; index < 45; index++) seed(`/f/${index}`, 'x');
      const seen = new Set<string>();
      let pages = 0;
      for await (const page of store.list({ prefix: 'f/' })) {
        for (const { key } of page) seen.add(key);
        pages += 1;
        if (pages === 2) server.rooms.listings.invalidate();
      }
      assert.equal(seen.size, 45);
      assert.equal(server.counts['files/list_folder'], 2);
      server.faults.add({ route: 'files/list_folder/continue', action: { type: 'refuse', tags: 'reset' } });
      await failsWith(() => listKeys(store), 'CHANGED', 'Dropbox gave up the listing several times');
    });

    it('takes what changes meanwhile as it comes', async () => {
      const store = await newStore({ pageLimit: 5 });
      for (let index = 0; index < 20; index++) seed(`/f/${index}`, 'x');
      const seen = new Set<string>();
      let isFirst = true;
      for await (const page of store.list({ prefix: 'f/' })) {
        for (const { key } of page) seen.add(key);
        if (isFirst) {
          seed('/f/new', 'y');
          server.tree.remove('/f/7');
        }
        isFirst = false;
      }
      assert.ok(seen.has('f/new'));
    });

    it('names documents that can not be downloaded, and passes links on as such', async () => {
      const store = await newStore();
      seed('/paper.paper', 'x').history[0]!.isDownloadable = false;
      const [entry] = await listAll(store);
      assert.equal(entry?.unreadable, true);
      assert.equal(
        entry.problem?.message,
        "A document that lives in Dropbox only and can't be downloaded: left out",
      );
      await failsWith(
        () => store.open('paper.paper'),
        'NOT_SUPPORTED',
        '"paper.paper" is a document that lives in Dropbox only and can\'t be downloaded',
      );
    });

    it('goes on after a key by leaving out what comes before', async () => {
      const store = await newStore();
      for (const name of ['a', 'b', 'c/d', 'e']) seed(`/f/${name}`, 'x');
      assert.deepEqual((await listKeys(store, { prefix: 'f/', startAfter: 'f/b' })).sort(), ['f/c/d', 'f/e']);
    });
  });

  describe('versions', () => {
    it('are found through more than a hundred revisions', async () => {
      const store = await newStore();
      seed('/a', 'the good one');
      const good = server.tree.find('/a')!.history[0]!;
      server.advance(10_000);
      for (let index = 0; index < 230; index++) seed('/a', `bad ${index}`);
      const [then] = await listAll(store, { asOf: good.serverModified + 1000 });
      assert.equal(then?.versionId, good.rev);
      assert.equal((await readAll(store, 'a', then.versionId)).toString(), 'the good one');
      assert.equal((await listAll(store, { versions: true })).length, 231);
    });

    it('come back as copies, also of what was deleted', async () => {
      const store = await newStore();
      const first = await store.write('a', contentOf('first'));
      await store.write('a', contentOf('second'));
      await store.delete({ key: 'a' });
      await store.copy('a', 'restored', { sourceVersionId: first.versionId! });
      assert.equal((await readAll(store, 'restored')).toString(), 'first');
      await failsWith(
        () => store.delete({ key: 'a', versionId: first.versionId! }),
        'NOT_SUPPORTED',
        "Dropbox can't delete a single revision of a file",
      );
    });
  });

  describe('reading', () => {
    it('finds a corrupted download and asks again', async () => {
      const retries: string[] = [];
      const store = await newStore({ context: { onRetry: (error) => retries.push(error.code) } });
      seed('/small', pseudoRandomBytes(100_000));
      server.faults.add({ route: 'files/download', times: 2, action: { type: 'corrupt-answer' } });
      assert.ok((await readAll(store, 'small')).equals(pseudoRandomBytes(100_000)));
      assert.deepEqual(retries, ['CHECKSUM_MISMATCH', 'CHECKSUM_MISMATCH']);
      server.faults.add({ route: 'files/download', action: { type: 'corrupt-answer' } });
      await failsWith(
        () => readAll(store, 'small'),
        'CHECKSUM_MISMATCH',
        'The bytes that arrived of "small" are not those in Dropbox',
      );
    });

    it('never hands on the end of a large download that is not right', async () => {
      const store = await newStore();
      seed('/large', pseudoRandomBytes(5 * MIB));
      server.faults.add({ route: 'files/download', times: 1, action: { type: 'corrupt-answer' } });
      const opened = await store.open('large');
      let seen = 0;
      const error = await failsWith(
        async () => {
          for await (const chunk of opened.read()) seen += chunk.length;
        },
        'CHECKSUM_MISMATCH',
        'The bytes that arrived of "large" are not those in Dropbox',
      );
      assert.equal(error.retryable, true);
      assert.ok(seen < 5 * MIB);
      await opened.close();
      assert.ok((await readAll(store, 'large')).equals(pseudoRandomBytes(5 * MIB)));
    });

    it('takes a download up where it broke, of the same revision', async () => {
      const store = await newStore();
      const bytes = pseudoRandomBytes(3 * MIB);
      seed('/a', bytes);
      server.faults.add({
        route: 'files/download',
        times: 1,
        action: { type: 'cut-answer', afterBytes: MIB },
      });
      const opened = await store.open('a');
      seed('/a', 'another content');
      assert.ok((await closing(opened, () => collect(opened.read()))).equals(bytes));
      const ranges = server.log.filter(({ route }) => route === 'files/download');
      assert.equal(ranges.length, 2);
      assert.match((ranges[1]!.argument as { path: string }).path, /^rev:/);
    });

    it('says that content is restricted, and other files go on', async () => {
      const store = await newStore();
      seed('/film', 'x').history[0]!.isRestricted = true;
      seed('/photo', 'y');
      const error = await failsWith(
        () => store.open('film'),
        'RESTRICTED_CONTENT',
        'Dropbox does not hand out "film": its content is restricted',
      );
      assert.equal(error.retryable, false);
      assert.equal(error.path, 'film');
      assert.match(error.advice!, /still there/);
      assert.equal((await readAll(store, 'photo')).toString(), 'y');
      assert.deepEqual((await listKeys(store)).sort(), ['film', 'photo']);
    });

    it('asks a small file for in one request', async () => {
      const store = await newStore();
      seed('/a', 'small');
      await store.check();
      server.resetCounts();
      assert.equal((await readAll(store, 'a')).toString(), 'small');
      assert.deepEqual(server.counts, { 'files/download': 1 });
    });
  });

  describe('writing', () => {
    it('one file alone takes one request', async () => {
      const store = await newStore();
      await store.check();
      server.resetCounts();
      const written = await store.write('a', contentOf('x'), { modificationTime: TIME + 700_000_000n });
      assert.deepEqual(server.counts, { 'files/upload': 1 });
      assert.equal(written.modificationTime, TIME + 1_000_000_000n, 'the nearest second');
    });

    it('many at once are committed together', async () => {
      const store = await newStore({ lockMs: 5, latencyMs: 5 });
      await store.check();
      server.resetCounts();
      const names = Array.from({ length: 600 }, (_, index) => `many/${index}`);
      await forEachParallel(names, async (name) => void (await store.write(name, contentOf(name))), 64);
      assert.equal((await listKeys(store, { prefix: 'many/' })).length, 600);
      const commits = server.counts['files/upload_session/finish_batch_v2']!;
      assert.ok(commits <= 60, `${commits} commits for 600 files`);
      assert.ok((server.counts['files/upload'] ?? 0) <= 5);
      for (const name of ['many/0', 'many/599']) {
        assert.equal((await readAll(store, name)).toString(), name);
      }
    });

    it('gives each file of a batch its own error', async () => {
      const store = await newStore();
      seed('/f/folder/x', 'x');
      await store.write('f/present', contentOf('present'));
      const names = [...Array(30).keys()].map((index) => `f/${index}`);
      const failures = new Map<string, CloudSyncError>();
      await forEachParallel(
        [...names, 'f/folder', 'f/present', 'f/0/below'],
        async (name) => {
          try {
            await store.write(name, contentOf(name), name === 'f/present' ? { ifNoneMatch: '*' } : {});
          } catch (error) {
            failures.set(name, error as CloudSyncError);
          }
        },
        40,
      );
      // Either of `f/0` and `f/0/below` comes first.
      const obstructed = failures.get('f/0/below') ?? failures.get('f/0');
      assert.equal(obstructed?.code, 'OBSTRUCTED');
      assert.equal(failures.get('f/folder')?.code, 'OBSTRUCTED');
      assert.equal(failures.get('f/folder')?.path, 'f/folder');
      assert.equal(failures.get('f/present')?.code, 'PRECONDITION_FAILED');
      assert.equal(
        failures.get('f/present')?.message,
        '"f/present" is another file than when it was looked at',
      );
      assert.equal(failures.size, 3);
    });

    it('is refused when the bytes are corrupted on their way, and sent again', async () => {
      const retries: string[] = [];
      const store = await newStore({ context: { onRetry: (error) => retries.push(error.code) } });
      server.faults.add({ route: 'files/upload', times: 2, action: { type: 'corrupt-request' } });
      await store.write('a', contentOf('precious'));
      assert.deepEqual(retries, ['CHECKSUM_MISMATCH', 'CHECKSUM_MISMATCH']);
      assert.equal((await readAll(store, 'a')).toString(), 'precious');
      server.faults.add({
        route: 'files/upload_session/start',
        times: 3,
        action: { type: 'corrupt-request' },
      });
      const names = ['b', 'c', 'd', 'e'];
      await forEachParallel(names, async (name) => void (await store.write(name, contentOf(`of ${name}`))));
      for (const name of names) assert.equal((await readAll(store, name)).toString(), `of ${name}`);
      server.faults.add({ route: 'files/upload', action: { type: 'corrupt-request' } });
      await failsWith(
        () => store.write('f', contentOf('x')),
        'CHECKSUM_MISMATCH',
        'The bytes that arrived for "f" are not those that were sent',
      );
      assert.equal(await store.head('f'), undefined);
    });

    it('goes on through bursts of 503, cut connections, lost answers and a locked account', async () => {
      const store = await newStore({ lockMs: 1 });
      await store.check();
      for (const action of [
        { type: 'status', status: 503 },
        { type: 'status', status: 500 },
        { type: 'cut-request' },
        { type: 'lose-answer' },
      ] as const) {
        server.faults.add({ times: 2, skip: 1, action });
      }
      const names = [...Array(40).keys()].map((index) => `f/${index}`);
      await forEachParallel(names, async (name) => void (await store.write(name, contentOf(name))), 20);
      server.faults.clear();
      assert.equal((await listKeys(store, { prefix: 'f/' })).length, 40);
      for (const name of names) assert.equal((await readAll(store, name)).toString(), name);
    });

    it('under a condition believes its own lost success, and nobody else', async () => {
      const store = await newStore();
      server.faults.add({ route: 'files/upload', times: 1, action: { type: 'lose-answer' } });
      const written = await store.write('a', contentOf('mine'), { ifNoneMatch: '*', modificationTime: TIME });
      assert.equal(server.tree.find('/a')!.history.length, 1);
      assert.equal(written.etag, server.tree.find('/a')!.history[0]!.rev);
      seed('/b', 'theirs');
      server.faults.add({ route: 'files/upload', times: 1, action: { type: 'cut-request' } });
      await failsWith(
        () => store.write('b', contentOf('mine'), { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
        '"b" is another file than when it was looked at',
      );
      await failsWith(
        () => store.write('b', contentOf('theirs'), { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
        '"b" is another file than when it was looked at',
      );
    });

    it('waits as long as Dropbox asks, all together', async () => {
      const store = await newStore();
      await store.check();
      server.faults.add({
        times: 1,
        action: { type: 'rate-limit', reason: 'too_many_requests', seconds: 1 },
      });
      const started = performance.now();
      await store.write('a', contentOf('x'));
      assert.ok(performance.now() - started >= 990);
      assert.equal(server.counts['files/upload'], 2);
      server.faults.add({ action: { type: 'rate-limit', reason: 'too_many_requests', seconds: 0 } });
      const error = await failsWith(
        () => store.write('b', contentOf('x')),
        'RATE_LIMITED',
        'Dropbox asks to go slower',
      );
      assert.equal(error.retryable, true);
      server.faults.clear();
      server.faults.add({
        action: { type: 'rate-limit', reason: 'too_many_requests', seconds: 3600 },
      });
      await failsWith(() => store.write('b', contentOf('x')), 'RATE_LIMITED', 'Dropbox asks to go slower');
    });

    it('tries entries of a batch again that met a lock, and says so when it never opens', async () => {
      const store = await newStore();
      server.state.commitFailures.set('/f/3', Array<string>(2).fill('too_many_write_operations'));
      server.state.commitFailures.set('/f/5', Array<string>(99).fill('too_many_write_operations'));
      const names = [...Array(8).keys()].map((index) => `f/${index}`);
      const errors: CloudSyncError[] = [];
      await forEachParallel(names, async (name) => {
        await store.write(name, contentOf(name)).catch((error: CloudSyncError) => errors.push(error));
      });
      assert.deepEqual(
        errors.map(({ code, path, message }) => [code, path, message]),
        [['RATE_LIMITED', 'f/5', 'Too many changes at the same time in this Dropbox']],
      );
      assert.equal((await readAll(store, 'f/3')).toString(), 'f/3');
    });

    it('says in words what Dropbox does not take', async () => {
      const store = await newStore({ quotaBytes: 100 });
      const full = await failsWith(
        () => store.write('a', contentOf('x'.repeat(200))),
        'QUOTA_EXCEEDED',
        'The space of the Dropbox account is used up',
      );
      assert.equal(full.retryable, false);
      assert.match(full.advice!, /Free space/);
      const names: [string, ErrorCode, string][] = [
        ['f/.DS_Store', 'INVALID_NAME', 'Dropbox does not store files of the name ".DS_Store"'],
        ['f/back\\slash', 'INVALID_NAME', 'Dropbox can\'t hold the name "back\\slash"'],
        ['f/space ', 'INVALID_NAME', 'Dropbox can\'t hold the name "space "'],
        ['f/../x', 'INVALID_NAME', 'Dropbox can\'t hold the name ".."'],
        [`f/${'\u{1f600}'.repeat(256)}`, 'NAME_TOO_LONG', 'The name has 256 characters, 255 are possible'],
      ];
      for (const [name, code, message] of names) {
        const error = await failsWith(() => store.write(name, contentOf('x')), code, message);
        assert.equal(error.path, name);
      }
      await store.write(`f/${'\u{1f600}'.repeat(255)}`, contentOf('x'));
      const refusals: [string, ErrorCode, string][] = [
        ['malformed_path', 'INVALID_NAME', 'Dropbox can\'t hold the name "r"'],
        ['disallowed_name', 'INVALID_NAME', 'Dropbox does not store files of the name "r"'],
        ['no_write_permission', 'NO_PERMISSION', 'The account may not write to "r"'],
        ['access_restricted', 'NO_PERMISSION', 'The administrator of the team does not allow this for "r"'],
        ['something_new', 'BAD_ANSWER', 'Dropbox refuses this (path/something_new)'],
      ];
      for (const [tag, code, message] of refusals) {
        server.state.commitFailures.set('/r', [tag]);
        await failsWith(() => store.write('r', contentOf('x')), code, message);
      }
    });

    it('ends a request on which nothing moves', async () => {
      const store = await newStore({ silenceMs: 100 });
      await store.check();
      server.faults.add({ route: 'files/upload', times: 1, action: { type: 'stall' } });
      await store.write('a', contentOf('x'));
      assert.equal(server.counts['files/upload'], 2);
    });

    it('ends when it is stopped, alone and in a batch', async () => {
      const store = await newStore();
      await store.check();
      server.faults.add({ action: { type: 'stall' } });
      const controller = new AbortController();
      const writes = [...Array(5).keys()].map((index) =>
        store.write(`f/${index}`, contentOf('x'), { signal: controller.signal }),
      );
      controller.abort();
      for (const result of await Promise.allSettled(writes)) {
        assert.equal(result.status === 'rejected' && (result.reason as CloudSyncError).code, 'ABORTED');
      }
      server.faults.clear();
      await store.write('after', contentOf('y'));
      assert.deepEqual(await listKeys(store), ['after']);
    });
  });

  describe('large files', () => {
    const bytes = pseudoRandomBytes(10 * MIB + 5, 3);
    const begin = (store: Store, more = {}) =>
      store.createUpload('large', bytes.length, { partSize: 4 * MIB, modificationTime: TIME, ...more });
    const part = (upload: Awaited<ReturnType<typeof begin>>, number: number) =>
      upload.sendPart(number, partContent(upload, streamedContent(bytes), number));

    it('go in parts of whole blocks within the limits', () => {
      assert.equal(partSizeOf(48 * MIB), 48 * MIB);
      assert.equal(partSizeOf(5 * MIB), 4 * MIB);
      assert.equal(partSizeOf(149 * MIB), 148 * MIB);
      assert.equal(partSizeOf(1), 4 * MIB);
      assert.equal(partSizeOf(10 ** 12), 148 * MIB);
    });

    it('are sent once, whatever happens on the way', async () => {
      const store = await newStore();
      const upload = await begin(store);
      const append = 'files/upload_session/append_v2';
      server.faults.add({ route: append, times: 1, action: { type: 'lose-answer' } });
      await part(upload, 1);
      server.faults.add({ route: append, times: 1, action: { type: 'corrupt-request' } });
      await part(upload, 2);
      server.faults.add({ route: append, times: 1, action: { type: 'status', status: 503 } });
      await part(upload, 3);
      server.faults.add({ route: 'files/upload_session/finish', times: 1, action: { type: 'lose-answer' } });
      const written = await upload.complete();
      assert.equal(written.modificationTime, TIME);
      assert.equal(written.hashes?.dropbox, await dropboxContentHash(contentOf(bytes)));
      assert.ok((await readAll(store, 'large')).equals(bytes));
      assert.equal(server.tree.find('/large')!.history.length, 1);
    });

    it('are taken up by another process without a byte sent again, and proven as a whole', async () => {
      const store = await newStore();
      const upload = await begin(store);
      await part(upload, 1);
      await part(upload, 2);
      const state = JSON.parse(JSON.stringify(upload.state)) as UploadState;
      server.resetCounts();
      const resumed = await openAccount().openStore('').resumeUpload(state);
      // As the engine does: it knows no hash of what has arrived and hands over every part again.
      for (const number of [1, 2, 3]) await part(resumed, number);
      const written = await resumed.complete();
      assert.equal(written.modificationTime, TIME);
      assert.ok((await readAll(store, 'large')).equals(bytes));
      assert.equal(server.bodyBytes('files/upload_session/append_v2'), bytes.length - 8 * MIB);
    });

    it('go on in the middle of a part', async () => {
      const store = await newStore();
      const upload = await begin(store);
      await part(upload, 1);
      const session = String(upload.state.details.sessionId);
      await fetch(`${server.url}/2/files/upload_session/append_v2`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${server.accessToken}`,
          'content-type': 'application/octet-stream',
          'dropbox-api-arg': JSON.stringify({ cursor: { session_id: session, offset: 4 * MIB } }),
        },
        body: Uint8Array.from(bytes.subarray(4 * MIB, 5 * MIB + 3)),
      });
      await part(upload, 2);
      await part(upload, 3);
      await upload.complete();
      assert.ok((await readAll(store, 'large')).equals(bytes));
    });

    it('that turn out wrong are taken back: the old file stays', async () => {
      const store = await newStore();
      await store.write('large', contentOf('old'));
      const upload = await begin(store);
      await part(upload, 1);
      const resumed = await openAccount().openStore('').resumeUpload(upload.state);
      const other = Buffer.from(bytes);
      other[10] = other[10]! ^ 1;
      for (const number of [1, 2, 3]) {
        await resumed.sendPart(number, partContent(resumed, contentOf(other), number));
      }
      await failsWith(() => resumed.complete(), 'CHECKSUM_MISMATCH', '"large" is not stored as it was sent');
      assert.equal((await readAll(store, 'large')).toString(), 'old');
    });

    it('are over when their session is', async () => {
      const store = await newStore();
      const upload = await begin(store);
      await part(upload, 1);
      server.advance(8 * 24 * HOUR_MS);
      await failsWith(() => part(upload, 2), 'NOT_FOUND', '"large" does not exist');
      await upload.abort();
    });

    it('are written in parts also where they are handed over whole', async () => {
      const store = await newStore();
      const large = pseudoRandomBytes(149 * MIB, 9);
      await store.write('whole', streamedContent(large, MIB));
      assert.equal(server.tree.find('/whole')!.history[0]!.content.equals(large), true);
    });

    it('are limited to what Dropbox can hold', async () => {
      const store = await newStore();
      await failsWith(
        () => store.createUpload('a', 2 ** 41),
        'NOT_SUPPORTED',
        '"a" is larger than Dropbox can hold (2 TiB)',
      );
    });

    it('have the part size that the task asks for', async () => {
      const store = await newStore({ context: { options: { chunkSize: 9 } } });
      assert.equal(store.features.upload.threshold, 8 * MIB);
      assert.equal((await store.createUpload('a', 20 * MIB)).state.partSize, 8 * MIB);
    });
  });

  describe('deleting', () => {
    it('never takes a folder for a file', async () => {
      const store = await newStore();
      seed('/f/precious', 'x');
      await failsWith(() => store.delete({ key: 'f' }), 'OBSTRUCTED', '"f" is a folder and no file');
      const [outcome] = await store.deleteMany([{ key: 'f' }]);
      assert.equal(outcome?.error?.code, 'OBSTRUCTED');
      const [known] = await store.deleteMany([{ key: 'f', ifMatch: '123456789' }]);
      assert.equal(known?.error?.code, 'OBSTRUCTED');
      assert.deepEqual(await listKeys(store), ['f/precious']);
    });

    it('is a job per thousand files, its revisions known, and each entry has its own answer', async () => {
      const store = await newStore({ jobPolls: 2 });
      const objects: StoredObject[] = [];
      for (let index = 0; index < 1500; index++) seed(`/f/${index}`, 'x');
      objects.push(...(await listAll(store)));
      seed('/f/7', 'changed');
      server.deleteJobs.failures.set('/f/8', 'too_many_write_operations');
      server.deleteJobs.failures.set('/f/9', 'path_write/no_write_permission');
      server.resetCounts();
      const outcomes = await store.deleteMany(objects.map(({ key, etag }) => ({ key, ifMatch: etag! })));
      const failed = outcomes.filter(({ error }) => error !== undefined);
      assert.deepEqual(failed.map(({ key, error }) => `${key} ${error!.code}`).sort(), [
        'f/7 PRECONDITION_FAILED',
        'f/9 NO_PERMISSION',
      ]);
      assert.deepEqual((await listKeys(store)).sort(), ['f/7', 'f/9']);
      assert.equal(server.counts['files/delete_batch'], 3, 'two jobs, and one for the entry that met a lock');
      assert.equal(server.counts['files/get_metadata'], undefined);
    });

    it('tries a job again that was lost', async () => {
      const store = await newStore();
      seed('/a', 'x');
      server.faults.add({
        route: 'files/delete_batch/check',
        times: 1,
        action: { type: 'refuse', tags: 'invalid_async_job_id' },
      });
      assert.deepEqual(await store.deleteMany([{ key: 'a' }]), [{ key: 'a' }]);
      assert.deepEqual(await listKeys(store), []);
      assert.equal(server.counts['files/delete_batch'], 2);
    });

    it('leaves a folder that is not empty', async () => {
      const store = await newStore();
      seed('/f/a', 'x');
      await store.deleteFolder('f');
      await store.deleteFolder('none');
      await store.deleteFolder('f/a');
      assert.deepEqual(await listKeys(store), ['f/a']);
    });
  });

  describe('copying', () => {
    it('takes one request besides the look at the source', async () => {
      const store = await newStore();
      seed('/a', 'x');
      await store.check();
      server.resetCounts();
      await store.copy('a', 'folder/b');
      assert.deepEqual(server.counts, { 'files/get_metadata': 1, 'files/copy_v2': 1 });
    });

    it('replaces what is there only when the copy is ready', async () => {
      const store = await newStore();
      seed('/a', 'new');
      seed('/b', 'old');
      server.faults.add({
        route: 'files/move_v2',
        times: 1,
        action: { type: 'refuse', tags: 'to/insufficient_space' },
      });
      await failsWith(
        () => store.copy('a', 'b'),
        'QUOTA_EXCEEDED',
        'The space of the Dropbox account is used up',
      );
      assert.equal((await readAll(store, 'b')).toString(), 'old');
      assert.deepEqual((await listKeys(store)).sort(), ['a', 'b']);
      await store.copy('a', 'b');
      assert.equal((await readAll(store, 'b')).toString(), 'new');
      await failsWith(
        () => store.copy('a', 'b', { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
        '"b" is there already',
      );
    });

    it('moves folders, over nothing', async () => {
      const store = await newStore();
      seed('/f/a', '1');
      seed('/g', '2');
      await failsWith(() => store.rename('f', 'g'), 'OBSTRUCTED', 'Something stands at "g" already');
      await store.rename('f', 'h/i');
      assert.deepEqual((await listKeys(store)).sort(), ['g', 'h/i/a']);
    });
  });

  it('hashes as Dropbox says, in pieces of any size', async () => {
    const known = new Hasher(['dropbox']);
    const bytes = pseudoRandomBytes(9 * MIB + 17, 5);
    known.update(bytes);
    assert.equal(await dropboxContentHash(streamedContent(bytes, 777_777)), known.finish().dropbox);
    const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    assert.equal(await dropboxContentHash(contentOf('')), empty);
  });
});
