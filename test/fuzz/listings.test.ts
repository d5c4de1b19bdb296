import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { providerById } from '../../src/stores/registry.js';
import type { Account, ListOptions, Store, StoredObject } from '../../src/stores/store.js';
import { mutatedBytes, mutatedFields, mutatedJson } from './mutations.js';
import { assertClear, fuzzLater, runs, SEED, takenOrRefusedLater } from './support.js';

const FEW = 40;
/** A listing that goes round for ever asks for more pages than that. */
const MOST_REQUESTS = 200;

interface Opened {
  account: Account;
  store: Store;
}

interface Listing {
  provider: string;
  config?: Record<string, unknown>;
  secrets: Record<string, string>;
  bucket: string;
  /** Answers of the server, wrong ones. */
  body: fc.Arbitrary<Buffer>;
  /** Of what is no listing; undefined: it is one. */
  other?: (request: IncomingMessage) => string | undefined;
  options?: ListOptions;
  /** What is done in place of listing objects. */
  use?: (account: Account) => Promise<unknown>;
  /** What was learnt of the account is kept: it has to be opened anew each time. */
  anew?: boolean;
}

const S3_PAGE = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><NextContinuationToken>1/a+b=&amp;</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>a/with+space%2Bplus%25%C3%BC%0A</Key><LastModified>2024-02-29T23:59:58.123Z</LastModified><ETag>&quot;0cc175b9c0f1b6a831c399e269772661&quot;</ETag><Size>5497558138880</Size><StorageClass>STANDARD</StorageClass></Contents><Contents><Key>b&lt;</Key><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>"x-2"</ETag><Size>7</Size><RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus><StorageClass>GLACIER</StorageClass></Contents><CommonPrefixes><Prefix>folder/</Prefix></CommonPrefixes></ListBucketResult>`;
const S3_VERSIONS = `<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><NextKeyMarker>b</NextKeyMarker><NextVersionIdMarker>v9</NextVersionIdMarker><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType><DeleteMarker><Key>a</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><LastModified>2024-03-01T00:00:00.000Z</LastModified></DeleteMarker><Version><Key>a</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest><LastModified>2024-02-01T00:00:00.000Z</LastModified><ETag>"x"</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Version></ListVersionsResult>`;
const AZURE_PAGE = `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://x/" ContainerName="b"><Prefix>a</Prefix><Blobs><Blob><Name Encoded="true">a%20%26</Name><VersionId>2026-01-01T10:00:00.1234567Z</VersionId><IsCurrentVersion>true</IsCurrentVersion><Properties><Creation-Time>Thu, 01 Jan 2026 10:00:00 GMT</Creation-Time><Last-Modified>Fri, 02 Jan 2026 10:00:00 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag><Content-Length>100</Content-Length><Content-MD5>CY9rzUYh03PK3k6DJie09g==</Content-MD5><BlobType>BlockBlob</BlobType><AccessTier>Archive</AccessTier><ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus></Properties><Metadata><mtime>2023-11-14T22:13:20.123456789Z</mtime><Color>blue &gt; red</Color></Metadata></Blob><BlobPrefix><Name>q/</Name></BlobPrefix></Blobs><NextMarker></NextMarker></EnumerationResults>`;

const GCS_ITEM = {
  name: 'a b.txt',
  size: '100',
  generation: '1700000000000001',
  updated: '2024-01-01T00:00:00.000Z',
  timeCreated: '2024-01-01T00:00:00.000Z',
  timeDeleted: '2024-02-01T00:00:00.000Z',
  md5Hash: 'CY9rzUYh03PK3k6DJie09g==',
  crc32c: 'AAAAAA==',
  storageClass: 'STANDARD',
  metadata: { mtime: '2023-11-14T22:13:20.123456789Z', color: 'blue' },
};
const GCS_PAGE = {
  kind: 'storage#objects',
  items: [GCS_ITEM, { ...GCS_ITEM, generation: '1700000000000002' }, { ...GCS_ITEM, name: 'c' }],
  prefixes: ['folder/'],
  nextPageToken: '',
};
const DROPBOX_FILE = {
  '.tag': 'file',
  name: 'a.txt',
  path_lower: '/folder/a.txt',
  path_display: '/Folder/a.txt',
  id: 'id:1',
  client_modified: '2024-01-01T00:00:00Z',
  server_modified: '2024-01-01T00:00:00Z',
  rev: '015f',
  size: 100,
  content_hash: 'ab'.repeat(32),
  is_downloadable: true,
};
const DROPBOX_PAGE = {
  entries: [
    { '.tag': 'folder', name: 'Folder', path_lower: '/folder', path_display: '/Folder', id: 'id:0' },
    DROPBOX_FILE,
    { '.tag': 'deleted', name: 'b', path_lower: '/b', path_display: '/b' },
    {
      ...DROPBOX_FILE,
      name: 'link',
      path_lower: '/link',
      path_display: '/link',
      symlink_info: { target: 'a' },
    },
  ],
  cursor: 'cursor',
  has_more: false,
};
const DROPBOX_ACCOUNT = {
  account_id: 'dbid:1',
  email: 'a@example.com',
  name: { display_name: 'A' },
  root_info: { '.tag': 'user', root_namespace_id: '1', home_namespace_id: '1' },
};

const S3_BUCKETS =
  '<?xml version="1.0"?><ListAllMyBucketsResult><Owner><ID>1</ID><DisplayName>me</DisplayName></Owner><Buckets><Bucket><Name>family</Name><CreationDate>2024-01-01T00:00:00.000Z</CreationDate><BucketRegion>eu-west-1</BucketRegion></Bucket><Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>';
const AZURE_CONTAINERS =
  '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://x/"><Containers><Container><Name>family</Name><Properties><Last-Modified>Fri, 02 Jan 2026 10:00:00 GMT</Last-Modified><Etag>"0x8"</Etag></Properties></Container></Containers><NextMarker></NextMarker></EnumerationResults>';
const GCS_BUCKETS = {
  kind: 'storage#buckets',
  items: [{ name: 'family', timeCreated: '2024-01-01T00:00:00.000Z', location: 'EU' }, { name: 'b' }],
};
const B2_KEY = {
  accountId: 'abc',
  authorizationToken: 'token',
  applicationKeyExpirationTimestamp: null,
  apiInfo: {
    storageApi: {
      apiUrl: 'SERVER',
      s3ApiUrl: 'SERVER',
      bucketId: null,
      bucketName: null,
      namePrefix: null,
      capabilities: [
        'listBuckets',
        'listAllBucketNames',
        'listFiles',
        'readFiles',
        'writeFiles',
        'deleteFiles',
      ],
      allowed: {
        buckets: [{ id: '1', name: 'family' }],
        capabilities: ['listBuckets', 'listFiles'],
        namePrefix: 'a/',
      },
    },
  },
};
const B2_BUCKETS = {
  buckets: [
    { bucketName: 'family', options: ['s3'] },
    { bucketName: 'old', options: [] },
  ],
};

/** What the dialog does. */
async function checkAndList(account: Account): Promise<void> {
  const check = await account.check();
  assert.ok(check.notes.every((note) => typeof note === 'string'));
  assert.ok(isText(check.account), `an account: ${JSON.stringify(check)}`);
  assert.ok(check.abilities === undefined || check.abilities.every((ability) => typeof ability === 'string'));
  const { buckets, prefix } = check.confinedTo ?? {};
  assert.ok(
    isText(prefix) && (buckets ?? []).every((name) => typeof name === 'string'),
    JSON.stringify(check),
  );
  for await (const bucket of account.listBuckets()) {
    assert.ok(typeof bucket.name === 'string' && bucket.name !== '', JSON.stringify(bucket));
    assert.ok(bucket.createdAt === undefined || Number.isFinite(bucket.createdAt), JSON.stringify(bucket));
    assert.ok(isText(bucket.region), JSON.stringify(bucket));
  }
}

const xml = (page: string) =>
  fc.oneof(
    mutatedBytes(() => Buffer.from(page)),
    mutatedFields(page),
  );
const json = (value: unknown) =>
  fc.oneof(
    { weight: 3, arbitrary: mutatedJson(value).map((changed) => Buffer.from(JSON.stringify(changed) ?? '')) },
    { weight: 1, arbitrary: mutatedBytes(() => Buffer.from(JSON.stringify(value))) },
  );

const S3_SECRETS = { accessKeyId: 'AKID', secretAccessKey: 'secret' };

const LISTINGS: Record<string, Listing> = {
  S3: {
    provider: 's3',
    config: { region: 'us-east-1' },
    secrets: S3_SECRETS,
    bucket: 'family',
    body: xml(S3_PAGE),
  },
  'S3, a folder': {
    provider: 's3',
    config: { region: 'us-east-1' },
    secrets: S3_SECRETS,
    bucket: 'family',
    body: xml(S3_PAGE),
    options: { shallow: true, folders: true },
  },
  'S3, versions': {
    provider: 's3',
    config: { region: 'us-east-1' },
    secrets: S3_SECRETS,
    bucket: 'family',
    body: xml(S3_VERSIONS),
    options: { versions: true, folders: true },
  },
  B2: {
    provider: 'b2',
    config: { region: 'us-west-004' },
    secrets: { applicationKeyId: '004abc', applicationKey: 'secret' },
    bucket: 'family',
    body: xml(S3_PAGE),
  },
  Azure: {
    provider: 'azure-blob',
    config: { accountName: 'photos' },
    secrets: { accountKey: Buffer.alloc(64, 1).toString('base64') },
    bucket: 'family',
    body: xml(AZURE_PAGE),
  },
  'Azure, versions': {
    provider: 'azure-blob',
    config: { accountName: 'photos' },
    secrets: { accountKey: Buffer.alloc(64, 1).toString('base64') },
    bucket: 'family',
    body: xml(AZURE_PAGE),
    options: { versions: true, folders: true },
  },
  'Google Cloud Storage': {
    provider: 'google-cloud-storage',
    secrets: {},
    bucket: 'family',
    body: json(GCS_PAGE),
    options: { folders: true },
  },
  'Google Cloud Storage, versions': {
    provider: 'google-cloud-storage',
    secrets: {},
    bucket: 'family',
    body: json(GCS_PAGE),
    options: { versions: true },
    other: (request) =>
      request.url?.includes('/family/o')
        ? undefined
        : '{"kind":"storage#bucket","versioning":{"enabled":true}}',
  },
  Dropbox: {
    provider: 'dropbox',
    secrets: { accessToken: 'token' },
    bucket: '',
    body: json(DROPBOX_PAGE),
    options: { folders: true },
    other: (request) => (request.url?.includes('list_folder') ? undefined : JSON.stringify(DROPBOX_ACCOUNT)),
  },
  'Dropbox, the account': {
    provider: 'dropbox',
    secrets: { accessToken: 'token' },
    bucket: '',
    body: json(DROPBOX_ACCOUNT),
    other: (request) => (request.url?.includes('list_folder') ? JSON.stringify(DROPBOX_PAGE) : undefined),
    use: checkAndList,
    anew: true,
  },
  'S3, the buckets': {
    provider: 's3',
    config: { region: 'us-east-1' },
    secrets: S3_SECRETS,
    bucket: 'family',
    body: xml(S3_BUCKETS),
    use: checkAndList,
  },
  'Azure, the containers': {
    provider: 'azure-blob',
    config: { accountName: 'photos' },
    secrets: { accountKey: Buffer.alloc(64, 1).toString('base64') },
    bucket: 'family',
    body: xml(AZURE_CONTAINERS),
    use: checkAndList,
  },
  'Google Cloud Storage, the buckets': {
    provider: 'google-cloud-storage',
    config: { projectId: 'project' },
    secrets: {},
    bucket: 'family',
    body: json(GCS_BUCKETS),
    use: checkAndList,
  },
  'B2, the key': {
    provider: 'b2',
    config: { region: 'us-west-004' },
    secrets: { applicationKeyId: '004abc', applicationKey: 'secret' },
    bucket: 'family',
    body: json(B2_KEY),
    other: (request) => (request.url?.includes('b2_authorize') ? undefined : S3_BUCKETS),
    use: checkAndList,
    anew: true,
  },
  'B2, the buckets': {
    provider: 'b2',
    config: { region: 'us-west-004' },
    secrets: { applicationKeyId: '004abc', applicationKey: 'secret' },
    bucket: 'family',
    body: json(B2_BUCKETS),
    other: (request) =>
      request.url?.includes('b2_authorize')
        ? JSON.stringify(B2_KEY)
        : request.url?.includes('b2_list')
          ? undefined
          : S3_BUCKETS,
    use: checkAndList,
    anew: true,
  },
};

const STATUSES = [
  201, 204, 206, 301, 302, 307, 400, 401, 403, 404, 405, 409, 412, 413, 416, 422, 429, 500, 502, 503, 507,
];
const ERRORS = [
  '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please &amp; reduce</Message><Region>eu-west-1</Region></Error>',
  '<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code><Message>x</Message><AuthenticationErrorDetail>The MAC signature</AuthenticationErrorDetail></Error>',
  '{"error":{"code":403,"message":"no","errors":[{"reason":"forbidden","domain":"global","message":"no"}]}}',
  '{"error":"invalid_grant","error_description":"Token used too early"}',
  '{"error_summary":"path/not_found/..","error":{".tag":"path","path":{".tag":"not_found"}},"user_message":{"text":"no"}}',
  '{"status":401,"code":"bad_auth_token","message":"no"}',
  '<html><body>Bad gateway</body></html>',
];

const isText = (value: unknown) => value === undefined || typeof value === 'string';

/** What the engine relies on. */
function assertWellFormed(entry: StoredObject): void {
  const shown = JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  // A key that begins with a slash lies in a folder without a name.
  assert.ok(
    typeof entry.key === 'string' && (entry.key !== '' || entry.kind === 'folder'),
    `a key: ${shown}`,
  );
  assert.ok(['file', 'folder', 'link'].includes(entry.kind), shown);
  assert.ok(Number.isSafeInteger(entry.size) && entry.size >= 0, `a size: ${shown}`);
  assert.ok(entry.storedTime === undefined || Number.isFinite(entry.storedTime), `a time: ${shown}`);
  assert.ok(entry.modificationTime === undefined || typeof entry.modificationTime === 'bigint', shown);
  for (const text of [entry.etag, entry.versionId, entry.storageClass]) assert.ok(isText(text), shown);
  for (const texts of [entry.metadata, entry.hashes, entry.claimedHashes]) {
    assert.ok(
      Object.values(texts ?? {}).every((text) => typeof text === 'string'),
      shown,
    );
  }
}

describe('Fuzzed answers to listings', function () {
  this.timeout(900_000);
  let server: Server;
  let url: string;
  let requests = 0;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let googleKey: string;

  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      requests += 1;
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    googleKey = JSON.stringify({
      type: 'service_account',
      client_email: 'a@example.com',
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      token_uri: `${url}/token`,
    });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  async function open({
    provider,
    config,
    secrets,
    bucket,
  }: Listing): Promise<{ account: Account; store: Store }> {
    const openAccount = await providerById(provider).load();
    const keys = provider === 'google-cloud-storage' ? { serviceAccountKey: googleKey } : secrets;
    const patience = { attempts: 1, connectTimeoutMs: 4000, silenceMs: 20_000 };
    const account = openAccount({ endpoint: url, ...config }, keys, { patience });
    return { account, store: account.openStore(bucket) };
  }

  /** Asks the server, which answers with `status` and `body`. Undefined where that was refused clearly. */
  async function ask(listing: Listing, opened: Opened, status: number, body: Buffer) {
    requests = 0;
    answer = (request, response) => {
      const other = listing.other?.(request)?.replaceAll('SERVER', url);
      if (request.url === '/token') response.end('{"access_token":"token","expires_in":3600}');
      else if (requests > MOST_REQUESTS) request.socket.destroy();
      else if (other !== undefined) response.end(other);
      else {
        if (body.includes('<?xml')) response.setHeader('content-type', 'application/xml');
        response.writeHead(status).end(body.toString('latin1').replaceAll('SERVER', url), 'latin1');
      }
    };
    const entries = await takenOrRefusedLater(async () => {
      const all: StoredObject[] = [];
      if (listing.use !== undefined) await listing.use(opened.account);
      else for await (const page of opened.store.list(listing.options)) all.push(...page);
      return all;
    });
    assert.ok(requests <= MOST_REQUESTS, 'it goes round for ever');
    return entries;
  }

  for (const [name, listing] of Object.entries(LISTINGS)) {
    it(`${name} (${runs(FEW)}, seed ${SEED})`, async () => {
      let opened = await open(listing);
      let taken = 0;
      await fuzzLater(FEW, listing.body, async (body) => {
        const entries = await ask(listing, opened, 200, body);
        for (const entry of entries ?? []) {
          assertWellFormed(entry);
          if (entry.problem !== undefined) assertClear(entry.problem);
        }
        if (entries !== undefined) taken += 1;
        if (listing.anew !== true) return;
        await opened.account.close();
        opened = await open(listing);
      });
      await opened.account.close();
      assert.ok(taken > 0, 'some are right');
    });

    it(`${name}, refused (${runs(FEW / 4)}, seed ${SEED})`, async () => {
      const refusal = fc.oneof(...ERRORS.map((error) => mutatedBytes(() => Buffer.from(error))));
      const input = fc.tuple(fc.constantFrom(...STATUSES), fc.oneof(refusal, listing.body));
      await fuzzLater(FEW / 4, input, async ([status, body]) => {
        const opened = await open(listing);
        const entries = await ask(listing, opened, status, body);
        if (
          listing.use === undefined &&
          status >= 300 &&
          !(listing.provider === 'dropbox' && status === 409)
        ) {
          // Dropbox says with 409 that a folder isn't there, which is an empty one.
          assert.ok(entries === undefined, `${status} is no listing`);
        }
        await opened.account.close();
      });
    });
  }
});
