/**
 * The fake Dropbox, judged by the vendor's SDK as it is, and by requests no SDK sends. Each rule names the page it comes
 * from: [http] is https://www.dropbox.com/developers/documentation/http/documentation, [spec] is
 * https://github.com/dropbox/dropbox-api-spec (files.stone and its neighbours). rclone can't be pointed here: its Dropbox
 * backend has no option for the address of the API.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Dropbox, DropboxAuth, DropboxResponseError, type files } from 'dropbox';
import { type DropboxServer, type DropboxServerOptions, startDropboxServer } from './dropbox/server.js';

const HOUR_MS = 3600_000;

describe('the fake Dropbox', () => {
  let server: DropboxServer;
  let dropbox: Dropbox;

  const start = async (options: DropboxServerOptions = {}): Promise<void> => {
    await server?.stop();
    server = await startDropboxServer({ port: 0, ...options });
    dropbox = new Dropbox({ accessToken: server.accessToken, fetch: rewriting(server) });
  };
  beforeEach(() => start());
  after(() => server.stop());

  const put = async (path: string, contents: string | Buffer, more: Partial<files.UploadArg> = {}) =>
    (await dropbox.filesUpload({ path, contents, mode: { '.tag': 'overwrite' }, ...more })).result;

  /** A request by hand: what comes back as it is. */
  const post = async (
    route: string,
    init: { headers?: Record<string, string>; body?: string; method?: string } = {},
  ) => {
    const response = await fetch(`${server.url}/2/${route}`, {
      method: init.method ?? 'POST',
      headers: { authorization: `Bearer ${server.accessToken}`, ...init.headers },
      ...(init.body === undefined ? {} : { body: init.body }),
    });
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text: await response.text(),
    };
  };
  const json = { 'content-type': 'application/json' };
  const octets = { 'content-type': 'application/octet-stream' };

  describe('requests', () => {
    it('need a token [http#authorization]: none and a malformed one are 400 in words', async () => {
      for (const authorization of ['', 'Basic abc', 'Bearer']) {
        const answer = await post('users/get_current_account', { headers: { authorization } });
        assert.equal(answer.status, 400);
        assert.match(answer.type!, /^text\/plain/);
        assert.match(answer.text, /Error in call to API function "users\/get_current_account": Invalid auth/);
      }
    });

    it('with an unknown or expired token are 401 with its tag [spec auth.AuthError]', async () => {
      const unknown = await post('users/get_current_account', {
        headers: { authorization: 'Bearer sl.nobody' },
      });
      assert.equal(unknown.status, 401);
      assert.equal(JSON.parse(unknown.text).error['.tag'], 'invalid_access_token');
      server.advance(5 * HOUR_MS);
      const expired = await post('users/get_current_account');
      assert.equal(expired.status, 401);
      assert.equal(JSON.parse(expired.text).error['.tag'], 'expired_access_token');
    });

    it('of an app without the scope are 401 missing_scope [spec auth.TokenScopeError]', async () => {
      server.authorization.scopes.delete('files.content.write');
      const error = await failure(put('/a', 'x'));
      assert.equal(error.status, 401);
      assert.deepEqual(error.error.error, { '.tag': 'missing_scope', required_scope: 'files.content.write' });
    });

    it('with arguments that are no JSON, of a wrong type, missing or unknown are 400 in words [http#error-handling]', async () => {
      const cases: [string, RegExp][] = [
        ['{"path": ', /could not decode input as JSON/],
        ['{}', /missing required field 'path'/],
        ['{"path": 1}', /path: expected string, got integer|path: expected string, got number/],
        ['{"path": "/a", "recursively": true}', /unknown field 'recursively'/],
        ['{"path": "no slash"}', /did not match pattern/],
        ['{"path": "", "limit": 2001}', /2001 is not within 1 and 2000/],
        ['{"path": "", "recursive": "yes"}', /expected boolean, got string/],
      ];
      for (const [body, message] of cases) {
        const answer = await post('files/list_folder', { headers: json, body });
        assert.equal(answer.status, 400, body);
        assert.match(answer.type!, /^text\/plain/);
        assert.match(answer.text, message);
      }
    });

    it('have the content type of their endpoint [http#request-and-response-formats]', async () => {
      const rpc = await post('files/list_folder', { headers: octets, body: '{"path": ""}' });
      assert.match(rpc.text, /Bad HTTP "Content-Type" header/);
      const upload = await post('files/upload', {
        headers: { ...json, 'dropbox-api-arg': '{"path": "/a"}' },
        body: 'x',
      });
      assert.match(upload.text, /Bad HTTP "Content-Type" header/);
    });

    it('carry their argument in a header of ASCII [https://www.dropbox.com/developers/reference/json-encoding]', async () => {
      const raw = { ...octets, 'dropbox-api-arg': '{"path": "/\u00fc"}' };
      assert.equal((await post('files/upload', { headers: raw, body: 'x' })).status, 400);
      const escaped = { ...octets, 'dropbox-api-arg': '{"path": "/\\u00fc"}' };
      const answer = await post('files/upload', { headers: escaped, body: 'x' });
      assert.equal(JSON.parse(answer.text).name, '\u00fc');
    });

    it('may name a void member of a union by its bare name, no other [http#formats]', async () => {
      const argument = (mode: unknown) => ({
        ...octets,
        'dropbox-api-arg': JSON.stringify({ path: '/a', mode }),
      });
      assert.equal((await post('files/upload', { headers: argument('overwrite'), body: 'x' })).status, 200);
      assert.equal((await post('files/upload', { headers: argument('update'), body: 'x' })).status, 400);
      assert.equal((await post('files/upload', { headers: argument('replace'), body: 'x' })).status, 400);
    });

    it('are POST; a download may be GET [http#request-and-response-formats]', async () => {
      await put('/a', 'got');
      assert.equal((await post('files/list_folder', { method: 'GET' })).status, 400);
      const headers = { 'dropbox-api-arg': '{"path": "/a"}' };
      assert.equal((await post('files/download', { method: 'GET', headers })).text, 'got');
    });
  });

  describe('tokens', () => {
    const refresh = (parameters: Record<string, string>) =>
      fetch(`${server.url}/oauth2/token`, { method: 'POST', body: new URLSearchParams(parameters) });

    it('are renewed by a refresh token, without the secret where PKCE was used [http#oauth2-token]', async () => {
      const auth = new DropboxAuth({
        clientId: server.appKey,
        refreshToken: server.refreshToken,
        fetch: rewriting(server),
      });
      const account = await new Dropbox({ auth, fetch: rewriting(server) }).usersGetCurrentAccount();
      assert.equal(account.result.email, server.account.email);
      assert.equal(server.counts['oauth2/token'], 1);
    });

    it('are refused with an OAuth error [RFC 6749, 5.2]', async () => {
      const grant = { grant_type: 'refresh_token', client_id: server.appKey };
      const unknown = await refresh({ ...grant, refresh_token: 'nothing' });
      assert.equal(unknown.status, 400);
      assert.equal(((await unknown.json()) as { error: string }).error, 'invalid_grant');
      const stranger = await refresh({ ...grant, client_id: 'other', refresh_token: server.refreshToken });
      assert.equal(((await stranger.json()) as { error: string }).error, 'invalid_client');
      const confidential = server.authorization.newRefreshToken(false);
      const secretless = await refresh({ ...grant, refresh_token: confidential });
      assert.equal(((await secretless.json()) as { error: string }).error, 'invalid_client');
      const whole = await refresh({ ...grant, refresh_token: confidential, client_secret: server.appSecret });
      assert.equal(((await whole.json()) as { expires_in: number }).expires_in, 14_400);
    });

    it('come for a code and its verifier, once [https://developers.dropbox.com/oauth-guide, RFC 7636]', async () => {
      const auth = new DropboxAuth({ clientId: server.appKey, fetch: rewriting(server) });
      const url = await auth.getAuthenticationUrl(
        'http://localhost:1880/back',
        'state-1',
        'code',
        'offline',
        undefined,
        undefined,
        true,
      );
      const asked = new URL(String(url));
      const agreed = await fetch(`${server.url}${asked.pathname}${asked.search}`, { redirect: 'manual' });
      const back = new URL(agreed.headers.get('location')!);
      assert.equal(back.searchParams.get('state'), 'state-1');
      const code = back.searchParams.get('code')!;
      const answer = await auth.getAccessTokenFromCode('http://localhost:1880/back', code);
      assert.ok((answer.result as { refresh_token: string }).refresh_token);
      const again = await failure(auth.getAccessTokenFromCode('http://localhost:1880/back', code));
      assert.equal(String(again.error.error), 'invalid_grant');
    });
  });

  describe('names', () => {
    const writeError = async (path: string) => {
      const error = await failure(put(path, 'x'));
      assert.equal(error.status, 409);
      return error.error.error.reason['.tag'];
    };

    it('that Dropbox can not hold are malformed_path [http#path-formats, rclone.org/dropbox]', async () => {
      for (const name of [
        'back\\slash',
        'trailing ',
        'del\u007f',
        '.',
        '..',
        'a//b',
        'a/',
        'x'.repeat(256),
      ]) {
        assert.equal(await writeError(`/${name}`), 'malformed_path', name);
      }
    });

    it('of files that are never kept are disallowed_name [help.dropbox.com/sync/files-not-syncing]', async () => {
      for (const name of ['.DS_Store', 'Thumbs.db', 'desktop.ini', 'Icon\r', '.dropbox', '.dropbox.attr']) {
        assert.equal(await writeError(`/folder/${name}`), 'disallowed_name', name);
      }
    });

    it('are case-insensitive and keep their case [http#case-insensitivity]', async () => {
      const first = await put('/Photos/Paris.jpg', 'one');
      assert.equal(first.path_display, '/Photos/Paris.jpg');
      assert.equal(first.path_lower, '/photos/paris.jpg');
      const second = await put('/PHOTOS/PARIS.JPG', 'two');
      assert.equal(second.path_display, '/Photos/Paris.jpg');
      assert.notEqual(second.rev, first.rev);
    });

    it('are kept composed [rclone, fstest/test_all/config.yaml]', async () => {
      const written = await put('/cafe\u0301', 'x');
      assert.equal(written.path_display, '/caf\u00e9');
    });
  });

  describe('writing', () => {
    it('answers content_hash, rev and both times [spec FileMetadata]', async () => {
      const block = Buffer.alloc(4 * 1024 * 1024, 7);
      const content = Buffer.concat([block, Buffer.from('rest')]);
      const written = await put('/big', content, { client_modified: '2015-05-12T15:50:38Z' });
      const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
      const expected = sha(Buffer.concat([sha(block), sha(Buffer.from('rest'))])).toString('hex');
      assert.equal(written.content_hash, expected);
      assert.equal(written.client_modified, '2015-05-12T15:50:38Z');
      assert.match(written.server_modified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.match(written.rev, /^[0-9a-f]{9,}$/);
      assert.equal(written.size, content.length);
    });

    it('refuses bytes that are not those of content_hash [spec UploadArg]', async () => {
      const error = await failure(put('/a', 'x', { content_hash: '0'.repeat(64) }));
      assert.equal(error.error.error['.tag'], 'content_hash_mismatch');
    });

    it('holds to its mode [spec WriteMode]', async () => {
      const { rev } = await put('/a', 'one');
      const add = await failure(put('/a', 'two', { mode: { '.tag': 'add' } }));
      assert.deepEqual(add.error.error.reason, { '.tag': 'conflict', conflict: { '.tag': 'file' } });
      assert.match(add.error.error_summary, /^path\/conflict\/file\//);
      const same = await put('/a', 'one', { mode: { '.tag': 'add' } });
      assert.equal(same.rev, rev, 'identical contents: nothing is written, no conflict');
      await failure(put('/a', 'one', { mode: { '.tag': 'add' }, strict_conflict: true }));
      const updated = await put('/a', 'two', { mode: { '.tag': 'update', update: rev } });
      await failure(put('/a', 'three', { mode: { '.tag': 'update', update: rev } }));
      await dropbox.filesDeleteV2({ path: '/a' });
      const mode: files.WriteMode = { '.tag': 'update', update: updated.rev };
      await failure(put('/a', 'three', { mode, strict_conflict: true }));
      const renamed = await put('/a', 'x').then(() =>
        put('/a', 'y', { mode: { '.tag': 'add' }, autorename: true }),
      );
      assert.equal(renamed.name, 'a (1)');
    });

    it('writes nothing where identical contents are, not even their time [spec WriteMode (c)]', async () => {
      const first = await put('/a', 'same', { client_modified: '2015-05-12T15:50:38Z' });
      const second = await put('/a', 'same', { client_modified: '2020-01-01T00:00:00Z' });
      assert.deepEqual(second, first);
    });

    it('never puts a file where a folder is, nor below a file [spec WriteConflictError]', async () => {
      await put('/folder/file', 'x');
      const folder = await failure(put('/folder', 'x'));
      assert.match(folder.error.error_summary, /^path\/conflict\/folder/);
      const below = await failure(put('/folder/file/below', 'x'));
      assert.match(below.error.error_summary, /^path\/conflict\/file_ancestor/);
    });

    it('ends when the space does [spec WriteError.insufficient_space]', async () => {
      await start({ quotaBytes: 10 });
      await put('/a', '12345');
      const error = await failure(put('/b', '1234567'));
      assert.match(error.error.error_summary, /^path\/insufficient_space/);
    });

    it('of two at a time refuses one: too_many_write_operations [developers/reference/data-ingress-guide]', async () => {
      await start({ lockMs: 50, lockRetrySeconds: 1 });
      const results = await Promise.allSettled([put('/a', '1'), put('/b', '2'), put('/c', '3')]);
      const refused = results.filter((result) => result.status === 'rejected');
      assert.equal(refused.length, 2);
      const { status, headers, error } = refused[0]!.reason as SdkError;
      assert.equal(status, 429);
      assert.equal((headers as Headers).get('retry-after'), '1');
      assert.equal(error.error.reason['.tag'], 'too_many_write_operations');
    });
  });

  describe('upload sessions', () => {
    const begin = async (contents: string, close = false) =>
      (await dropbox.filesUploadSessionStart({ contents, close })).result.session_id;
    const commit = (path: string): files.CommitInfo => ({ path, mode: { '.tag': 'overwrite' } });

    it('are sequential and say where they are [spec UploadSessionOffsetError]', async () => {
      const id = await begin('abc');
      const at = (offset: number) => ({ session_id: id, offset });
      const wrong = await failure(
        dropbox.filesUploadSessionAppendV2({ cursor: at(2), contents: 'def', close: false }),
      );
      assert.deepEqual(wrong.error.error, { '.tag': 'incorrect_offset', correct_offset: 3 });
      await dropbox.filesUploadSessionAppendV2({ cursor: at(3), contents: 'def', close: false });
      const early = await failure(
        dropbox.filesUploadSessionFinish({ cursor: at(3), commit: commit('/a'), contents: '' }),
      );
      assert.match(early.error.error_summary, /^lookup_failed\/incorrect_offset/);
      assert.equal(early.error.error.lookup_failed.correct_offset, 6);
      const done = await dropbox.filesUploadSessionFinish({
        cursor: at(6),
        commit: commit('/a'),
        contents: 'ghi',
      });
      assert.equal(done.result.size, 9);
    });

    it('take nothing once closed and end after 7 days [spec UploadSessionLookupError]', async () => {
      const append = (id: string) =>
        failure(
          dropbox.filesUploadSessionAppendV2({
            cursor: { session_id: id, offset: 3 },
            contents: 'x',
            close: false,
          }),
        );
      assert.equal((await append(await begin('abc', true))).error.error['.tag'], 'closed');
      assert.equal((await append('pid_upload_session:none')).error.error['.tag'], 'not_found');
      const old = await begin('abc');
      server.advance(7 * 24 * HOUR_MS);
      dropbox = new Dropbox({ accessToken: server.authorization.newAccessToken(), fetch: rewriting(server) });
      assert.equal((await append(old)).error.error['.tag'], 'not_found');
    });

    it('of concurrent pieces want them in units of 4 MiB, and closed [spec UploadSessionType]', async () => {
      const start = await dropbox.filesUploadSessionStart({
        contents: '',
        session_type: { '.tag': 'concurrent' },
      });
      const id = start.result.session_id;
      const unit = Buffer.alloc(4 * 1024 * 1024, 1);
      const append = (offset: number, contents: string | Buffer, close: boolean) =>
        dropbox.filesUploadSessionAppendV2({ cursor: { session_id: id, offset }, contents, close });
      const tag = async (call: Promise<unknown>) => (await failure(call)).error.error['.tag'];
      assert.equal(await tag(append(3, unit, false)), 'concurrent_session_invalid_offset');
      assert.equal(await tag(append(0, 'abc', false)), 'concurrent_session_invalid_data_size');
      const finish = () =>
        dropbox.filesUploadSessionFinish({
          cursor: { session_id: id, offset: unit.length + 4 },
          commit: commit('/c'),
          contents: '',
        });
      assert.equal(await tag(finish()), 'concurrent_session_not_closed');
      await append(unit.length, 'last', true);
      assert.equal(await tag(finish()), 'concurrent_session_missing_data');
    });

    it('are finished in batches, each entry with an answer of its own, in their order [spec finish_batch:2]', async () => {
      await put('/taken/file', 'x');
      const ids = [await begin('one', true), await begin('two', false), await begin('three', true)];
      const entry = (id: string, offset: number, path: string) => ({
        cursor: { session_id: id, offset },
        commit: commit(path),
      });
      const { entries } = (
        await dropbox.filesUploadSessionFinishBatchV2({
          entries: [entry(ids[0]!, 3, '/1'), entry(ids[1]!, 3, '/2'), entry(ids[2]!, 5, '/taken')],
        })
      ).result;
      assert.equal(entries[0]!['.tag'], 'success');
      assert.deepEqual(entries[1], {
        '.tag': 'failure',
        failure: { '.tag': 'lookup_failed', lookup_failed: { '.tag': 'not_closed' } },
      });
      assert.deepEqual(entries[2], {
        '.tag': 'failure',
        failure: { '.tag': 'path', path: { '.tag': 'conflict', conflict: { '.tag': 'folder' } } },
      });
      const many = Array.from({ length: 1001 }, () => entry('x', 0, '/x'));
      const tooMany = await failure(dropbox.filesUploadSessionFinishBatchV2({ entries: many }));
      assert.equal(tooMany.status, 400);
    });
  });

  describe('listing', () => {
    it('comes in pages by cursors, in no order, the folder itself among a recursive one [spec list_folder]', async () => {
      for (let index = 0; index < 25; index++) await put(`/f/${index % 3}/${index}`, String(index));
      const entries: files.ListFolderResult['entries'] = [];
      let page = (await dropbox.filesListFolder({ path: '/f', recursive: true, limit: 7 })).result;
      for (;;) {
        assert.ok(page.entries.length <= 7);
        entries.push(...page.entries);
        if (!page.has_more) break;
        page = (await dropbox.filesListFolderContinue({ cursor: page.cursor })).result;
      }
      const paths = entries.map((entry) => entry.path_lower!);
      assert.equal(new Set(paths).size, 25 + 3 + 1);
      assert.notDeepEqual(paths, [...paths].sort());
      await put('/f/new', 'x');
      await dropbox.filesDeleteV2({ path: '/f/0' });
      const later = (await dropbox.filesListFolderContinue({ cursor: page.cursor })).result.entries;
      assert.ok(later.some((entry) => entry['.tag'] === 'file' && entry.name === 'new'));
      assert.ok(later.some((entry) => entry['.tag'] === 'deleted' && entry.path_lower === '/f/0'));
      const level = (await dropbox.filesListFolder({ path: '/f' })).result.entries;
      assert.deepEqual(level.map(({ name }) => name).sort(), ['1', '2', 'new']);
    });

    it('says what is no folder, what is not there, and which cursor has gone [spec ListFolderError]', async () => {
      await put('/file', 'x');
      const none = await failure(dropbox.filesListFolder({ path: '/none' }));
      assert.match(none.error.error_summary, /^path\/not_found/);
      const file = await failure(dropbox.filesListFolder({ path: '/file' }));
      assert.match(file.error.error_summary, /^path\/not_folder/);
      const { cursor } = (await dropbox.filesListFolder({ path: '' })).result;
      server.rooms.listings.invalidate();
      const reset = await failure(dropbox.filesListFolderContinue({ cursor }));
      assert.equal(reset.error.error['.tag'], 'reset');
    });

    it('has the deleted where they are asked for, and revisions newest first [spec ListRevisionsResult]', async () => {
      for (const content of ['one', 'two', 'three']) await put('/a', content);
      await dropbox.filesDeleteV2({ path: '/a' });
      assert.deepEqual((await dropbox.filesListFolder({ path: '' })).result.entries, []);
      const [entry] = (await dropbox.filesListFolder({ path: '', include_deleted: true })).result.entries;
      assert.equal(entry?.['.tag'], 'deleted');
      const first = (await dropbox.filesListRevisions({ path: '/a', limit: 2 })).result;
      assert.equal(first.is_deleted, true);
      assert.ok(first.server_deleted);
      assert.deepEqual(
        first.entries.map(({ size }) => size),
        [5, 3],
      );
      assert.equal(first.has_more, true);
      const rest = (await dropbox.filesListRevisions({ path: '/a', before_rev: first.entries[1]!.rev }))
        .result;
      assert.equal(rest.entries.length, 1);
      const old = await dropbox.filesDownload({ path: `rev:${rest.entries[0]!.rev}` });
      assert.equal((old.result as unknown as { fileBinary: Buffer }).fileBinary.toString(), 'one');
      await dropbox.filesRestore({ path: '/a', rev: rest.entries[0]!.rev });
      assert.equal((await dropbox.filesGetMetadata({ path: '/a' })).result['.tag'], 'file');
      const folder = await failure(dropbox.filesListRevisions({ path: '/none' }));
      assert.match(folder.error.error_summary, /^path\/not_found/);
    });
  });

  describe('reading', () => {
    const download = (path: string, range?: string) =>
      fetch(`${server.url}/2/files/download`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${server.accessToken}`,
          'dropbox-api-arg': JSON.stringify({ path }),
          ...(range === undefined ? {} : { range }),
        },
      });

    it('gives ranges, the metadata in a header of ASCII [http#request-and-response-formats]', async () => {
      await put('/\u00fc', '0123456789');
      const part = await fetch(`${server.url}/2/files/download`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${server.accessToken}`,
          'dropbox-api-arg': '{"path": "/\\u00fc"}',
          range: 'bytes=2-4',
        },
      });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get('content-range'), 'bytes 2-4/10');
      assert.equal(await part.text(), '234');
      const result = part.headers.get('dropbox-api-result')!;
      assert.match(result, /^[\x20-\x7e]*$/);
      assert.equal((JSON.parse(result) as { name: string }).name, '\u00fc');
      await put('/empty', '');
      assert.equal((await download('/empty', 'bytes=0-5')).status, 416);
    });

    it('refuses folders, restricted content, and what can only be exported [spec DownloadError]', async () => {
      await put('/f/paper', 'x');
      await put('/f/film', 'x');
      server.tree.find('/f/paper')!.history[0]!.isDownloadable = false;
      server.tree.find('/f/film')!.history[0]!.isRestricted = true;
      const tags = async (path: string) =>
        (await failure(dropbox.filesDownload({ path }))).error.error_summary;
      assert.match(await tags('/f'), /^path\/not_file/);
      assert.match(await tags('/f/film'), /^path\/restricted_content/);
      assert.match(await tags('/f/paper'), /^unsupported_file/);
      const listed = (await dropbox.filesListFolder({ path: '/f' })).result.entries;
      const paper = listed.find(({ name }) => name === 'paper') as files.FileMetadataReference;
      assert.equal(paper.is_downloadable, false);
      assert.equal(paper.content_hash, undefined);
    });
  });

  describe('changing', () => {
    it('deletes in jobs, each entry with an answer of its own [spec delete_batch]', async () => {
      const { rev } = await put('/a', 'x');
      await put('/b', 'x');
      await put('/folder/c', 'x');
      const started = (
        await dropbox.filesDeleteBatch({
          entries: [
            { path: '/a', parent_rev: rev },
            { path: '/none' },
            { path: '/b', parent_rev: '123456789' },
            { path: '/folder', parent_rev: '123456789' },
          ],
        })
      ).result as { '.tag': string; async_job_id: string };
      assert.equal(started['.tag'], 'async_job_id');
      const check = async () =>
        (await dropbox.filesDeleteBatchCheck({ async_job_id: started.async_job_id })).result;
      assert.equal((await check())['.tag'], 'in_progress');
      const done = (await check()) as unknown as {
        entries: { '.tag': string; failure?: { '.tag': string } }[];
      };
      assert.deepEqual(
        done.entries.map((entry) => entry.failure?.['.tag'] ?? entry['.tag']),
        ['success', 'path_lookup', 'path_write', 'path_write'],
      );
      const unknown = await failure(dropbox.filesDeleteBatchCheck({ async_job_id: 'dbjid:none' }));
      assert.equal(unknown.error.error['.tag'], 'invalid_async_job_id');
    });

    it('copies and moves over nothing [spec RelocationError]', async () => {
      await put('/a', 'x', { client_modified: '2015-05-12T15:50:38Z' });
      await put('/b', 'y');
      const conflict = await failure(dropbox.filesCopyV2({ from_path: '/a', to_path: '/b' }));
      assert.match(conflict.error.error_summary, /^to\/conflict\/file/);
      const none = await failure(dropbox.filesMoveV2({ from_path: '/none', to_path: '/c' }));
      assert.match(none.error.error_summary, /^from_lookup\/not_found/);
      const nested = await failure(dropbox.filesMoveV2({ from_path: '/a', to_path: '/A' }));
      assert.match(nested.error.error_summary, /^duplicated_or_nested_paths/);
      const copied = (await dropbox.filesCopyV2({ from_path: '/a', to_path: '/c/d' })).result.metadata;
      assert.equal((copied as files.FileMetadataReference).client_modified, '2015-05-12T15:50:38Z');
      await dropbox.filesMoveV2({ from_path: '/c', to_path: '/e' });
      assert.equal((await dropbox.filesGetMetadata({ path: '/e/d' })).result.name, 'd');
    });

    it('makes a folder once [spec CreateFolderError]', async () => {
      const made = (await dropbox.filesCreateFolderV2({ path: '/new' })).result.metadata;
      assert.equal(made.path_lower, '/new');
      const again = await failure(dropbox.filesCreateFolderV2({ path: '/NEW' }));
      assert.match(again.error.error_summary, /^path\/conflict\/folder/);
    });
  });

  it('has the root that is asked for [developers.dropbox.com/dbx-team-files-guide, spec common.PathRoot]', async () => {
    await start({ teamHome: '/Franz' });
    await put('/mine', 'x');
    const { root_info: info } = (await dropbox.usersGetCurrentAccount()).result;
    const rooted = (root: object) =>
      new Dropbox({
        accessToken: server.accessToken,
        fetch: rewriting(server),
        pathRoot: JSON.stringify(root),
      });
    const team = rooted({ '.tag': 'root', root: info.root_namespace_id });
    assert.equal((await team.filesGetMetadata({ path: '/Franz/mine' })).result.path_display, '/Franz/mine');
    const moved = await failure(rooted({ '.tag': 'root', root: '99' }).filesListFolder({ path: '' }));
    assert.equal(moved.status, 422);
    assert.equal(moved.error.error['.tag'], 'invalid_root');
    const foreign = rooted({ '.tag': 'namespace_id', namespace_id: '99' });
    assert.equal((await failure(foreign.filesListFolder({ path: '' }))).error.error['.tag'], 'no_permission');
  });

  it('does harm where a test asks for it', async () => {
    const struck = server.faults.add({
      route: 'files/upload',
      times: 1,
      action: { type: 'status', status: 503 },
    });
    assert.equal((await failure(put('/a', 'x'))).status, 503);
    assert.equal(struck(), 1);
    await put('/a', 'abc');
    server.faults.add({ route: 'files/download', action: { type: 'corrupt-answer' } });
    const got = await dropbox.filesDownload({ path: '/a' });
    assert.notEqual((got.result as unknown as { fileBinary: Buffer }).fileBinary.toString(), 'abc');
    server.faults.clear();
    server.faults.add({ route: 'files/upload', action: { type: 'corrupt-request' } });
    const hash = server.tree.find('/a')!.history[0]!.contentHash;
    const refused = await failure(put('/b', 'abc', { content_hash: hash }));
    assert.equal(refused.error.error['.tag'], 'content_hash_mismatch');
    server.faults.clear();
    server.faults.add({ action: { type: 'lose-answer' } });
    await assert.rejects(put('/c', 'arrived'));
    assert.equal(server.tree.find('/c')?.kind, 'file');
    server.faults.clear();
    server.faults.add({ action: { type: 'rate-limit', reason: 'too_many_requests', seconds: 7 } });
    const limited = await failure(put('/d', 'x'));
    assert.equal((limited.headers as Headers).get('retry-after'), '7');
  });
});

/** The SDK knows no address but Dropbox's own: its requests are led here. */
function rewriting(server: DropboxServer): typeof fetch {
  return (input, init) => {
    const { pathname, search } = new URL(String(input));
    return fetch(`${server.url}${pathname}${search}`, init);
  };
}

/** A member of a union of errors; which fields there are depends on its tag. */
interface Union {
  '.tag': string;
  reason: Union;
  lookup_failed: Union;
  correct_offset: number;
}

/** What the SDK throws. */
interface SdkError {
  status: number;
  headers: unknown;
  error: { error_summary: string; error: Union };
}

async function failure(call: Promise<unknown>): Promise<SdkError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DropboxResponseError) return error as SdkError;
    throw error;
  }
  assert.fail('it should have failed');
}
