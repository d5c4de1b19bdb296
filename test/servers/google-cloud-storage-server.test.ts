/**
 * The strict Google Cloud Storage of the tests, judged by Google's own SDK as it is (rclone judges it in
 * test/rclone/object-stores.test.ts) and by the documentation: each rule names its page under
 * https://cloud.google.com/storage/docs/.
 */

import assert from 'node:assert/strict';
import { createPrivateKey, sign } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Bucket } from '@google-cloud/storage';
import { pseudoRandomBytes } from '../conformance/support.js';
import { crc32cBase64, md5Base64 } from './google-cloud-storage/hashes.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from './google-cloud-storage/server.js';

const KIB = 1024;
const STEP = 256 * KIB;

describe('the strict Google Cloud Storage server', function () {
  this.timeout(30_000);
  let server: GoogleCloudStorageServer;
  before(async () => {
    server = await startGoogleCloudStorageServer({ port: 0 });
  });
  beforeEach(() => {
    server.buckets.clear();
    server.createBucket('photos');
    server.requests.reset();
  });
  afterEach(() => server.faults.clear());
  after(() => server.stop());

  describe("driven by Google's SDK", () => {
    let bucket: Bucket;
    before(async () => {
      const [{ Storage }, { JWT }] = await Promise.all([
        import('@google-cloud/storage'),
        import('google-auth-library'),
      ]);
      const key = JSON.parse(server.serviceAccountKey) as Record<string, string>;
      const authClient = new JWT({
        email: key.client_email!,
        key: key.private_key!,
        scopes: ['https://www.googleapis.com/auth/cloud-platform'],
      });
      // The library asks Google for tokens whatever the key says: led here.
      authClient.transporter.interceptors.request.add({
        resolved: async (request) => Object.assign(request, { url: new URL('/token', server.url) }),
      });
      const storage = new Storage({
        apiEndpoint: server.url,
        useAuthWithCustomEndpoint: true,
        projectId: server.projectId,
        authClient: authClient as never,
        retryOptions: { autoRetry: false },
      });
      // 8.4.0 forgets useAuthWithCustomEndpoint where it begins upload sessions.
      const { token } = await authClient.getAccessToken();
      storage.interceptors.push({
        request: (request) => {
          request.headers = { ...request.headers, authorization: `Bearer ${token}` };
          return request as never;
        },
      });
      bucket = storage.bucket('photos');
    });

    it('makes, finds and lists buckets', async () => {
      const [made] = await bucket.storage.createBucket('more-photos', { location: 'EU' });
      assert.equal(made.metadata.location, 'EU');
      const [found] = await bucket.storage.getBuckets();
      assert.deepEqual(
        found.map(({ name }) => name),
        ['more-photos', 'photos'],
      );
      assert.equal((await bucket.exists())[0], true);
      assert.equal((await bucket.storage.bucket('nobody-has-this').exists())[0], false);
      await assert.rejects(bucket.storage.createBucket('photos'), { code: 409 });
    });

    it('uploads at once and in sessions, and reads back with its checks', async () => {
      const small = pseudoRandomBytes(100_000, 1);
      await bucket.file('a/small +&.bin').save(small, {
        resumable: false,
        validation: 'md5',
        metadata: { contentType: 'image/jpeg', metadata: { project: 'größe' } },
      });
      const [metadata] = await bucket.file('a/small +&.bin').getMetadata();
      assert.equal(metadata.contentType, 'image/jpeg');
      assert.equal(metadata.metadata?.project, 'größe');
      assert.equal(metadata.md5Hash, md5Base64(small));
      assert.equal(metadata.crc32c, crc32cBase64(small));
      for (const chunkSize of [undefined, STEP]) {
        const large = pseudoRandomBytes(3 * STEP + 17, 2);
        const file = bucket.file('large');
        await file.save(large, {
          resumable: true,
          validation: 'crc32c',
          ...(chunkSize ? { chunkSize } : {}),
        });
        const [read] = await file.download({ validation: 'crc32c' });
        assert.ok(read.equals(large));
      }
      assert.ok((server.requests.counts['session.put'] ?? 0) >= 5);
      const [part] = await bucket.file('large').download({ start: 10, end: 19 });
      assert.ok(part.equals(pseudoRandomBytes(3 * STEP + 17, 2).subarray(10, 20)));
    });

    it('lists by prefix, by folder, page by page, and versions', async () => {
      server.buckets.get('photos')!.versioning = true;
      for (const name of ['a/1', 'a/2', 'a-b', 'b', '\uff0e', '\u{1f600}']) {
        await bucket.file(name).save(name, { resumable: false });
      }
      const [all] = await bucket.getFiles({ maxResults: 2 });
      assert.equal(all.length, 2);
      const [names] = await bucket.getFiles();
      assert.deepEqual(
        names.map(({ name }) => name),
        ['a-b', 'a/1', 'a/2', 'b', '\uff0e', '\u{1f600}'],
      );
      const [files, , answer] = await bucket.getFiles({ delimiter: '/', autoPaginate: false });
      assert.deepEqual(
        files.map(({ name }) => name),
        ['a-b', 'b', '\uff0e', '\u{1f600}'],
      );
      assert.deepEqual((answer as { prefixes?: string[] }).prefixes, ['a/']);
      await bucket.file('b').save('second', { resumable: false });
      await bucket.file('b').delete();
      const [versions] = await bucket.getFiles({ prefix: 'b', versions: true });
      assert.equal(versions.length, 2);
      assert.ok(versions.every((file) => file.metadata.timeDeleted !== undefined));
      const [first] = await bucket.file('b', { generation: versions[0]!.metadata.generation! }).download();
      assert.equal(first.toString(), 'b');
    });

    it('holds to generations, copies, patches, composes and deletes', async () => {
      const file = bucket.file('x');
      await file.save('one', { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
      await assert.rejects(
        file.save('two', { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } }),
        {
          code: 412,
        },
      );
      const generation = Number((await file.getMetadata())[0].generation);
      await file.setMetadata({ metadata: { mtime: '2020-01-01T00:00:00.000000000Z' } });
      const [patched] = await file.getMetadata();
      assert.equal(Number(patched.generation), generation);
      assert.equal(Number(patched.metageneration), 2);
      await file.copy(bucket.file('y'));
      const [copied] = await bucket.file('y').getMetadata();
      assert.equal(copied.metadata?.mtime, '2020-01-01T00:00:00.000000000Z');
      await bucket.combine(['x', 'y'], 'xy');
      const [composed] = await bucket.file('xy').getMetadata();
      assert.equal(composed.md5Hash, undefined);
      assert.equal(composed.crc32c, crc32cBase64(Buffer.from('oneone')));
      await file.delete({ ifGenerationMatch: generation });
      assert.equal((await file.exists())[0], false);
      await assert.rejects(file.delete(), { code: 404 });
    });

    it('keeps gzip as it was stored, and unpacks it for those who do not take it', async () => {
      const packed = gzipSync('hello hello hello');
      await bucket.file('z').save(packed, {
        resumable: false,
        metadata: { contentEncoding: 'gzip', contentType: 'text/plain' },
      });
      const [plain] = await bucket.file('z').download();
      assert.equal(plain.toString(), 'hello hello hello');
      const [stored] = await bucket.file('z').download({ decompress: false });
      assert.ok(stored.equals(packed));
    });
  });

  describe('by the documentation', () => {
    let token: string;
    before(async () => {
      token = (await askToken({})).access_token as string;
    });

    /** An assertion signed with the account's key, with `claims` in place of the right ones. */
    const assertion = (claims: Record<string, unknown>, pem?: string) => {
      const key = JSON.parse(server.serviceAccountKey) as Record<string, string>;
      const now = Math.floor(Date.now() / 1000);
      const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const text = `${encode({ alg: 'RS256', typ: 'JWT', kid: key.private_key_id })}.${encode({
        iss: key.client_email,
        scope: 'https://www.googleapis.com/auth/devstorage.full_control',
        aud: key.token_uri,
        iat: now,
        exp: now + 3600,
        ...claims,
      })}`;
      const signature = sign('sha256', Buffer.from(text), createPrivateKey(pem ?? key.private_key!));
      return `${text}.${signature.toString('base64url')}`;
    };
    const askToken = async (claims: Record<string, unknown>): Promise<Record<string, unknown>> => {
      const response = await fetch(`${server.url}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
          assertion: assertion(claims),
        }),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    interface Sent {
      method?: string;
      headers?: Record<string, string>;
      body?: string | Uint8Array<ArrayBuffer>;
    }
    const call = (path: string, { method = 'GET', headers = {}, body }: Sent = {}) =>
      fetch(path.startsWith('/') ? server.url + path : path, {
        method,
        headers: { authorization: `Bearer ${token}`, ...headers },
        ...(body === undefined ? {} : { body }),
      });
    /** Status and reason of an answer. */
    const refusal = async (answer: Promise<Response>): Promise<[number, string]> => {
      const response = await answer;
      const body = (await response.json()) as { error?: { errors: { reason: string }[] } };
      return [response.status, body.error?.errors[0]?.reason ?? ''];
    };
    const insert = (name: string, body: string | Uint8Array<ArrayBuffer>, query = '') =>
      call(`/upload/storage/v1/b/photos/o?uploadType=media&name=${encodeURIComponent(name)}${query}`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body,
      });
    const begin = async (description: object, query = '', headers = {}): Promise<string> => {
      const answer = await call(`/upload/storage/v1/b/photos/o?uploadType=resumable${query}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(description),
      });
      assert.equal(answer.status, 200);
      return answer.headers.get('location')!;
    };
    const chunk = (session: string, range: string, body = new Uint8Array(), headers = {}) =>
      call(session, { method: 'PUT', headers: { 'content-range': range, ...headers }, body });

    it('gives tokens for signed, timely assertions alone (identity/protocols/oauth2/service-account)', async () => {
      const now = Math.floor(Date.now() / 1000);
      for (const [claims, error, words] of [
        [{ iss: 'nobody@x.iam.gserviceaccount.com' }, 'invalid_grant', /account not found/],
        [{ aud: 'https://example.com/token' }, 'invalid_grant', /audience/],
        [{ iat: now + 3000, exp: now + 6600 }, 'invalid_grant', /iat and exp/],
        [{ iat: now - 9000, exp: now - 5400 }, 'invalid_grant', /iat and exp/],
        [{ exp: now + 7200 }, 'invalid_grant', /iat and exp/],
        [{ scope: 'https://www.googleapis.com/auth/drive' }, 'invalid_scope', /scope/],
      ] as const) {
        const answer = await askToken(claims);
        assert.equal(answer.error, error, JSON.stringify(claims));
        assert.match(String(answer.error_description), words);
      }
      server.account.isDeleted = true;
      assert.match(String((await askToken({})).error_description), /account not found/);
      server.account.isDeleted = false;
    });

    it('lets nobody in without a token that is still good (authentication)', async () => {
      const path = `${server.url}/storage/v1/b/photos/o`;
      assert.deepEqual(await refusal(fetch(path)), [401, 'required']);
      const headers = { authorization: 'Bearer ya29.unknown' };
      assert.deepEqual(await refusal(fetch(path, { headers })), [401, 'authError']);
      const narrow = (await askToken({ scope: 'https://www.googleapis.com/auth/devstorage.read_write' }))
        .access_token as string;
      await insert('x', 'x');
      // json_api/v1/objects/patch#auth: not with read_write.
      const patch = { method: 'PATCH', headers: { authorization: `Bearer ${narrow}` }, body: '{}' };
      assert.deepEqual(await refusal(call('/storage/v1/b/photos/o/x', patch)), [
        403,
        'insufficientPermissions',
      ]);
    });

    it('refuses what the account has no permission for, by its name (access-control/iam-json)', async () => {
      server.denied.add('storage.objects.create');
      const answer = await insert('x', 'x');
      server.denied.clear();
      assert.equal(answer.status, 403);
      assert.match(await answer.text(), /does not have storage\.objects\.create access/);
      await insert('x', 'x');
      server.denied.add('storage.objects.delete');
      assert.deepEqual(await refusal(insert('x', 'overwrites')), [403, 'forbidden']);
      assert.equal((await insert('y', 'new')).status, 200);
      server.denied.clear();
    });

    it('refuses parameters, fields and names it does not know (json_api)', async () => {
      assert.deepEqual(await refusal(call('/storage/v1/b/photos/o?maxKeys=3')), [400, 'invalidParameter']);
      assert.deepEqual(await refusal(call('/storage/v1/b/photos/o?fields=items(nmae)')), [
        400,
        'invalidParameter',
      ]);
      const unknown = { method: 'PATCH', body: JSON.stringify({ mtime: '1' }) };
      await insert('x', 'x');
      assert.deepEqual(await refusal(call('/storage/v1/b/photos/o/x', unknown)), [400, 'invalid']);
      // objects#naming
      for (const name of ['a\nb', '.', '..', 'é'.repeat(513), '.well-known/acme-challenge/x']) {
        assert.equal((await insert(name, 'x')).status, 400, name);
      }
      assert.equal((await insert('é'.repeat(512), 'x')).status, 200);
      // uniform-bucket-level-access: no access control lists.
      assert.deepEqual(await refusal(insert('x', 'x', '&predefinedAcl=private')), [400, 'invalid']);
    });

    it('tells a missing bucket from a missing object (json_api/v1/status-codes#404)', async () => {
      assert.match(await (await call('/storage/v1/b/nobody/o/x')).text(), /specified bucket does not exist/);
      assert.match(await (await call('/storage/v1/b/photos/o/x')).text(), /No such object: photos\/x/);
      const media = await call('/storage/v1/b/photos/o/x?alt=media');
      assert.equal(media.status, 404);
      assert.equal(await media.text(), 'No such object: photos/x');
    });

    it('refuses content that is not what its description says (data-validation)', async () => {
      for (const claim of [{ md5Hash: md5Base64(Buffer.from('b')) }, { crc32c: 'AAAAAA==' }]) {
        const body = `--b\r\nContent-Type: application/json\r\n\r\n${JSON.stringify({ name: 'x', ...claim })}\r\n--b\r\nContent-Type: text/plain\r\n\r\na\r\n--b--`;
        const answer = await call('/upload/storage/v1/b/photos/o?uploadType=multipart', {
          method: 'POST',
          headers: { 'content-type': 'multipart/related; boundary=b' },
          body,
        });
        assert.equal(answer.status, 400);
        assert.match(await answer.text(), /doesn't match calculated (MD5|CRC32C)/);
      }
      assert.equal((await call('/storage/v1/b/photos/o/x')).status, 404);
    });

    it('computes CRC-32C as RFC 3720 has it', () => {
      assert.equal(crc32cBase64(Buffer.alloc(32)), Buffer.from('8a9136aa', 'hex').toString('base64'));
      assert.equal(crc32cBase64(Buffer.from('123456789')), Buffer.from('e3069283', 'hex').toString('base64'));
    });

    it('keeps generations where versioning is on, and nothing where it is off (object-versioning)', async () => {
      const bucket = server.buckets.get('photos')!;
      await insert('x', 'lost');
      await insert('x', 'one');
      assert.equal(bucket.objects.get('x')?.length, 1);
      bucket.versioning = true;
      await insert('x', 'two');
      await call('/storage/v1/b/photos/o/x', { method: 'DELETE' });
      assert.equal((await call('/storage/v1/b/photos/o/x')).status, 404);
      const [one, two] = bucket.objects.get('x')!;
      assert.ok(one!.generation < two!.generation && two!.timeDeleted !== undefined);
      // With a generation it is deleted for ever, and no other becomes live.
      await call(`/storage/v1/b/photos/o/x?generation=${two!.generation}`, { method: 'DELETE' });
      assert.equal((await call('/storage/v1/b/photos/o/x')).status, 404);
      const media = await call(`/storage/v1/b/photos/o/x?alt=media&generation=${one!.generation}`);
      assert.equal(await media.text(), 'one');
    });

    it('evaluates preconditions (request-preconditions)', async () => {
      const { generation } = (await (await insert('x', 'one')).json()) as { generation: string };
      const other = BigInt(generation) + 1n;
      for (const [query, status] of [
        [`ifGenerationMatch=${other}`, 412],
        ['ifGenerationMatch=0', 412],
        [`ifGenerationNotMatch=${generation}`, 412],
        ['ifMetagenerationMatch=2', 412],
        [`ifGenerationMatch=${generation}&ifMetagenerationMatch=1`, 200],
      ] as const) {
        assert.equal((await call(`/storage/v1/b/photos/o/x?${query}`)).status, status, query);
      }
      assert.equal((await insert('x', 'two', `&ifGenerationMatch=${other}`)).status, 412);
      assert.equal((await insert('x', 'two', `&ifGenerationMatch=${generation}`)).status, 200);
    });

    it('takes chunks of whole steps, in order, and says what it keeps (performing-resumable-uploads)', async () => {
      const bytes = Uint8Array.from(pseudoRandomBytes(2 * STEP + 100, 5));
      const session = await begin({ name: 'large' }, '', { 'x-upload-content-length': String(bytes.length) });
      const nothing = await chunk(session, 'bytes */*');
      assert.equal(nothing.status, 308);
      assert.equal(nothing.headers.get('range'), null);
      assert.equal((await chunk(session, 'bytes 0-999/*', bytes.slice(0, 1000))).status, 400);
      assert.equal(
        (await chunk(session, `bytes ${STEP}-${2 * STEP - 1}/*`, bytes.slice(0, STEP))).status,
        400,
      );
      const first = await chunk(session, `bytes 0-${STEP - 1}/*`, bytes.slice(0, STEP));
      assert.equal(first.headers.get('range'), `bytes=0-${STEP - 1}`);
      // Bytes that are there already are ignored.
      const second = await chunk(session, `bytes 0-${2 * STEP - 1}/*`, bytes.slice(0, 2 * STEP));
      assert.equal(second.headers.get('range'), `bytes=0-${2 * STEP - 1}`);
      assert.equal((await call('/storage/v1/b/photos/o/large')).status, 404);
      assert.equal(
        (
          await chunk(
            session,
            `bytes ${2 * STEP}-${2 * STEP + 98}/${2 * STEP + 99}`,
            bytes.slice(2 * STEP, -1),
          )
        ).status,
        400,
      );
      const last = await chunk(
        session,
        `bytes ${2 * STEP}-${bytes.length - 1}/${bytes.length}`,
        bytes.slice(2 * STEP),
        { 'x-goog-hash': `crc32c=${crc32cBase64(bytes)}` },
      );
      assert.equal(last.status, 200);
      assert.equal((await chunk(session, 'bytes */*')).status, 200);
      const read = await (await call('/storage/v1/b/photos/o/large?alt=media')).arrayBuffer();
      assert.ok(Buffer.from(read).equals(bytes));
    });

    it('refuses a whole that is not what was said, at its end (performing-resumable-uploads)', async () => {
      for (const [description, headers] of [
        [{ md5Hash: md5Base64(Buffer.from('b')) }, {}],
        [{}, { 'x-goog-hash': 'crc32c=AAAAAA==' }],
        [
          {},
          { 'x-goog-hash': `crc32c=${crc32cBase64(Buffer.from('a'))},md5=${md5Base64(Buffer.from('b'))}` },
        ],
      ]) {
        const session = await begin({ name: 'x', ...description });
        const answer = await chunk(session, 'bytes 0-0/1', Uint8Array.of(97), headers);
        assert.equal(answer.status, 400);
        assert.equal((await call('/storage/v1/b/photos/o/x')).status, 404);
      }
    });

    it('evaluates the conditions of a session again at its end (request-preconditions)', async () => {
      const session = await begin({ name: 'x' }, '&ifGenerationMatch=0');
      await insert('x', 'meanwhile');
      assert.equal((await chunk(session, 'bytes 0-0/1', Uint8Array.of(97))).status, 412);
    });

    it('cancels sessions with 499, and lets them run out after a week (performing-resumable-uploads)', async () => {
      const session = await begin({ name: 'x' });
      assert.equal((await call(session, { method: 'DELETE' })).status, 499);
      assert.equal((await chunk(session, 'bytes */*')).status, 499);
      const other = await begin({ name: 'x' });
      server.clockOffsetMs = 8 * 24 * 3600_000;
      assert.equal((await chunk(other, 'bytes */*')).status, 410);
      server.clockOffsetMs = 0;
      assert.equal((await chunk(other.replace(/upload_id=.*/, 'upload_id=nobody'), 'bytes */*')).status, 404);
    });

    it('copies in steps, and takes the class from the description or the bucket (json_api/v1/objects/rewrite)', async () => {
      await insert('x', 'x'.repeat(1000));
      server.buckets.get('photos')!.storageClass = 'NEARLINE';
      server.rewriteBytesPerCall = 600;
      const path = '/storage/v1/b/photos/o/x/rewriteTo/b/photos/o/y';
      const begun = (await (await call(path, { method: 'POST' })).json()) as Record<string, unknown>;
      assert.equal(begun.done, false);
      const next = `${path}?rewriteToken=${encodeURIComponent(String(begun.rewriteToken))}`;
      const done = (await (await call(next, { method: 'POST' })).json()) as {
        done: boolean;
        resource: Record<string, unknown>;
      };
      server.rewriteBytesPerCall = Number.POSITIVE_INFINITY;
      assert.equal(done.done, true);
      assert.equal(done.resource.storageClass, 'NEARLINE');
      assert.equal(done.resource.contentType, 'text/plain');
      const other = { method: 'POST', body: JSON.stringify({ storageClass: 'GLACIER' }) };
      assert.equal((await call(path, other)).status, 400);
    });

    it('protects by retention and holds (bucket-lock, object-holds)', async () => {
      await insert('x', 'x');
      server.buckets.get('photos')!.retentionSeconds = 1000;
      assert.deepEqual(await refusal(call('/storage/v1/b/photos/o/x', { method: 'DELETE' })), [
        403,
        'retentionPolicyNotMet',
      ]);
      server.buckets.get('photos')!.retentionSeconds = 0;
      await call('/storage/v1/b/photos/o/x', {
        method: 'PATCH',
        body: JSON.stringify({ temporaryHold: true }),
      });
      assert.deepEqual(await refusal(insert('x', 'y')), [403, 'objectUnderActiveHold']);
    });

    it('answers batches part by part, a hundred at most (batch)', async () => {
      await insert('a', 'a');
      const part = (id: string, line: string) =>
        `--b\r\nContent-Type: application/http\r\nContent-ID: <${id}>\r\n\r\n${line}\r\n\r\n`;
      const send = (parts: string) =>
        call('/batch/storage/v1', {
          method: 'POST',
          headers: { 'content-type': 'multipart/mixed; boundary=b' },
          body: `${parts}--b--`,
        });
      const answer = await send(
        part('1', 'DELETE /storage/v1/b/photos/o/a HTTP/1.1') +
          part('2', 'DELETE /storage/v1/b/photos/o/z HTTP/1.1'),
      );
      const text = await answer.text();
      assert.match(text, /<response-1>\r\n\r\nHTTP\/1\.1 204/);
      assert.match(text, /<response-2>\r\n\r\nHTTP\/1\.1 404/);
      const many = Array.from({ length: 101 }, (_, index) =>
        part(String(index), 'GET /storage/v1/b/photos HTTP/1.1'),
      );
      assert.equal((await send(many.join(''))).status, 400);
    });

    it('answers ranges, and 416 past the end (json_api/v1/parameters#range)', async () => {
      await insert('x', '0123456789');
      const read = (range: string) => call('/storage/v1/b/photos/o/x?alt=media', { headers: { range } });
      const middle = await read('bytes=2-4');
      assert.equal(middle.status, 206);
      assert.equal(middle.headers.get('content-range'), 'bytes 2-4/10');
      assert.equal(await middle.text(), '234');
      assert.equal(await (await read('bytes=-3')).text(), '789');
      assert.equal((await read('bytes=10-')).status, 416);
      assert.match(middle.headers.get('x-goog-hash') ?? '', /crc32c=.*md5=/);
    });
  });
});
