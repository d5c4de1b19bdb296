/** The five providers on loopback, alike to tests that do harm to them: how to reach each, how each says no. */

import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  AccountSASServices,
  generateAccountSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { TaskCredential } from '../../src/runner/task.js';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { AZURITE_ACCOUNT, AZURITE_KEY, startAzurite } from '../servers/azurite.js';
import { startB2Server } from '../servers/b2/server.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import type { Fault, LoggedRequest } from '../servers/fault-proxy.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { startS3Server } from '../servers/s3/server.js';

/** Config and secrets of a credential. */
export type Access = Pick<TaskCredential, 'config' | 'secrets'>;
export type Answer = NonNullable<Fault['answer']>;

/** What a request is about: the content of a file on its way out or in, a page of a listing, or anything else. */
export type RequestKind = 'write' | 'read' | 'list' | 'other';

/** A provider's server on loopback, with one bucket. */
export interface FarEnd {
  provider: string;
  /** `http://127.0.0.1:PORT` */
  url: string;
  /** '' where there are no buckets. */
  bucket: string;
  /** A valid credential whose requests go to `endpoint`: the server's or a proxy's. */
  access(endpoint: string): Access;
  /** With a key (account, application) that nobody has. */
  wrongKey: Access;
  /** With a secret that doesn't fit the key. */
  wrongSecret: Access;
  /** Ends the access tokens that were given so far, where the credential can get new ones. */
  expireTokens?(): void;
  /** Makes the credential void, and gives what the provider answers from now on where the server can't be told. */
  revoke(): Answer | undefined;
  /** Undoes {@link revoke}. */
  restore(): void;
  /** The provider asks to come back after so many seconds. */
  tooBusy(seconds: number): Answer;
  /** The provider fails on its side. */
  failure: Answer;
  kindOf(request: Pick<LoggedRequest, 'method' | 'url'>): RequestKind;
  /** Answers about an object name another content than the one that is there. */
  wrongTag: Fault;
  /** The page of a listing with other entries. */
  editList(page: Buffer, change: (entries: string[]) => string[]): string;
  /** Sets the server's clock off by so much, where it has one. ms. */
  setClockOff?(ms: number): void;
  /** Uploads that were begun and neither finished nor given up, where the server knows. */
  unfinishedUploads?(): number;
  stop(): Promise<void>;
}

const RESERVED = /\.node-red-cloud-sync/;

function xmlAnswer(status: number, code: string, headers: Record<string, string> = {}, detail = ''): Answer {
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>Made by the test</Message>${detail}</Error>`;
  return { status, headers: { 'content-type': 'application/xml', ...headers }, body };
}

function jsonAnswer(status: number, error: object, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ error }),
  };
}

/** Changes the elements `name` of an XML text. */
function editElements(name: string) {
  return (page: Buffer, change: (entries: string[]) => string[]): string => {
    const text = page.toString();
    const entries = text.match(new RegExp(`<${name}>.*?</${name}>`, 'gs')) ?? [];
    if (entries.length === 0) return text;
    const [first, last] = [text.indexOf(entries[0]!), text.lastIndexOf(entries.at(-1)!)];
    return text.slice(0, first) + change([...entries]).join('') + text.slice(last + entries.at(-1)!.length);
  };
}

/** Changes the array `name` of a JSON text. */
function editArray(name: string) {
  return (page: Buffer, change: (entries: string[]) => string[]): string => {
    const answer = JSON.parse(page.toString()) as Record<string, unknown>;
    const entries = answer[name];
    if (!Array.isArray(entries)) return page.toString();
    const changed = change(entries.map((entry) => JSON.stringify(entry)));
    return JSON.stringify({ ...answer, [name]: changed.map((entry) => JSON.parse(entry) as unknown) });
  };
}

const OTHER_MD5 = '0123456789abcdef0123456789abcdef';

const S3_WORDS: Pick<FarEnd, 'tooBusy' | 'failure' | 'kindOf' | 'wrongTag' | 'editList'> = {
  wrongTag: { answerHeaders: { etag: `"${OTHER_MD5}"` } },
  editList: editElements('Contents'),
  tooBusy: (seconds) => xmlAnswer(503, 'SlowDown', { 'retry-after': String(seconds) }),
  failure: xmlAnswer(500, 'InternalError'),
  kindOf: ({ method, url }) => {
    if (RESERVED.test(url)) return 'other';
    if (url.includes('list-type=2')) return 'list';
    const isObject = /^\/[^/?]+\/[^?]/.test(url);
    if (method === 'PUT' && isObject) return 'write';
    return method === 'GET' && isObject && !url.includes('uploadId') ? 'read' : 'other';
  },
};

async function s3(): Promise<FarEnd> {
  const server = await startS3Server({ buckets: ['backups'], logLimit: 0 });
  const { accessKeyId, secretAccessKey, region } = server;
  const access = (endpoint: string, secrets: Access['secrets'] = {}): Access => ({
    config: { endpoint, region, forcePathStyle: true },
    secrets: { accessKeyId, secretAccessKey, ...secrets },
  });
  return {
    provider: 's3',
    url: server.url,
    bucket: 'backups',
    access,
    wrongKey: access(server.url, { accessKeyId: 'AKIDNOBODY0000000000' }),
    wrongSecret: access(server.url, { secretAccessKey: 'not the secret' }),
    revoke: () => xmlAnswer(400, 'ExpiredToken'),
    restore: () => {},
    ...S3_WORDS,
    setClockOff: (ms) => {
      server.clock.reset();
      server.clock.advance(ms);
    },
    unfinishedUploads: () => server.objects.pendingUploads('backups').length,
    stop: () => server.stop(),
  };
}

async function b2(): Promise<FarEnd> {
  const server = await startB2Server();
  server.createBucket('backups');
  const { applicationKeyId, applicationKey } = server.addKey();
  const { credentials } = server.s3;
  const known = credentials.get(applicationKeyId)!;
  const access = (endpoint: string, secrets: Access['secrets'] = {}): Access => ({
    config: { endpoint },
    secrets: { applicationKeyId, applicationKey, ...secrets },
  });
  return {
    provider: 'b2',
    url: server.url,
    bucket: 'backups',
    access,
    wrongKey: access(server.url, { applicationKeyId: '0040000000000000000000000' }),
    wrongSecret: access(server.url, { applicationKey: 'K004notTheKeyNotTheKeyNotTheKey' }),
    revoke: () => {
      credentials.delete(applicationKeyId);
      return undefined;
    },
    restore: () => {
      credentials.set(applicationKeyId, known);
    },
    ...S3_WORDS,
    setClockOff: (ms) => {
      server.s3.clock.reset();
      server.s3.clock.advance(ms);
    },
    unfinishedUploads: () => server.s3.objects.pendingUploads('backups').length,
    stop: () => server.stop(),
  };
}

/** "Signature not valid in the specified time frame", as the service words it. */
const SAS_IS_OVER =
  '<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [Wed, 01 Jan 2025 00:00:00 GMT] - Expiry [Thu, 02 Jan 2025 00:00:00 GMT] - Current [Thu, 02 Jan 2025 00:00:01 GMT]</AuthenticationErrorDetail>';

async function azureBlob(): Promise<FarEnd> {
  const server = await startAzurite();
  const config = (endpoint: string) => ({ endpoint, accountName: AZURITE_ACCOUNT });
  const account = openAzureBlobAccount(config(server.endpoint), { accountKey: AZURITE_KEY }, {});
  await account.createBucket('backups');
  await account.close();
  const sasToken = generateAccountSASQueryParameters(
    {
      services: AccountSASServices.parse('b').toString(),
      resourceTypes: AccountSASResourceTypes.parse('sco').toString(),
      permissions: AccountSASPermissions.parse('rwdlac'),
      expiresOn: new Date(Date.now() + 3_600_000),
    },
    new StorageSharedKeyCredential(AZURITE_ACCOUNT, AZURITE_KEY),
  ).toString();
  return {
    provider: 'azure-blob',
    url: server.endpoint,
    bucket: 'backups',
    access: (endpoint) => ({ config: config(endpoint), secrets: { sasToken } }),
    wrongKey: {
      config: { ...config(server.endpoint), accountName: 'nobody' },
      secrets: { accountKey: AZURITE_KEY },
    },
    wrongSecret: {
      config: config(server.endpoint),
      secrets: { accountKey: Buffer.from('not the key').toString('base64') },
    },
    revoke: () => xmlAnswer(403, 'AuthenticationFailed', {}, SAS_IS_OVER),
    restore: () => {},
    tooBusy: (seconds) => xmlAnswer(503, 'ServerBusy', { 'retry-after': String(seconds) }),
    failure: xmlAnswer(500, 'InternalError'),
    wrongTag: { answerHeaders: { etag: '"0x8D0123456789ABC"', 'content-md5': 'ASNFZ4mrze8BI0VniavN7w==' } },
    editList: editElements('Blob'),
    kindOf: ({ method, url }) => {
      if (RESERVED.test(url)) return 'other';
      if (url.includes('comp=list')) return 'list';
      if (method === 'PUT') return 'write';
      return method === 'GET' && !url.includes('comp=') ? 'read' : 'other';
    },
    stop: () => server.stop(),
  };
}

async function googleCloudStorage(): Promise<FarEnd> {
  const server = await startGoogleCloudStorageServer({ port: 0, buckets: ['backups'] });
  const access = (endpoint: string, changes: Record<string, string> = {}): Access => ({
    config: { endpoint },
    secrets: { serviceAccountKey: JSON.stringify({ ...JSON.parse(server.serviceAccountKey), ...changes }) },
  });
  const other = await startGoogleCloudStorageServer({ port: 0 });
  const { private_key: otherKey } = JSON.parse(other.serviceAccountKey) as { private_key: string };
  await other.stop();
  return {
    provider: 'google-cloud-storage',
    url: server.url,
    bucket: 'backups',
    access,
    wrongKey: access(server.url, { client_email: 'nobody@home-backup-123456.iam.gserviceaccount.com' }),
    wrongSecret: access(server.url, { private_key: otherKey }),
    expireTokens: () => server.expireTokens(),
    revoke: () => {
      server.account.isDeleted = true;
      server.expireTokens();
      return undefined;
    },
    restore: () => {
      server.account.isDeleted = false;
    },
    tooBusy: (seconds) =>
      jsonAnswer(
        429,
        { code: 429, message: 'Made by the test', errors: [{ reason: 'rateLimitExceeded' }] },
        { 'retry-after': String(seconds) },
      ),
    failure: jsonAnswer(500, {
      code: 500,
      message: 'Made by the test',
      errors: [{ reason: 'backendError' }],
    }),
    kindOf: ({ method, url }) => {
      if (RESERVED.test(decodeURIComponent(url))) return 'other';
      if (url.startsWith('/upload/')) return 'write';
      if (/\/o\?/.test(url) && method === 'GET') return 'list';
      return method === 'GET' && url.includes('alt=media') ? 'read' : 'other';
    },
    wrongTag: {
      answerHeaders: { 'x-goog-hash': 'crc32c=AAAAAA==,md5=ASNFZ4mrze8BI0VniavN7w==' },
      editAnswer: (body) =>
        body.toString('latin1').startsWith('{')
          ? body
              .toString()
              .replace(/"md5Hash": ?"[^"]*"/, '"md5Hash":"ASNFZ4mrze8BI0VniavN7w=="')
              .replace(/"crc32c": ?"[^"]*"/, '"crc32c":"AAAAAA=="')
          : body,
    },
    editList: editArray('items'),
    setClockOff: (ms) => {
      server.clockOffsetMs = ms;
    },
    unfinishedUploads: () =>
      [...server.sessions.values()].filter(
        ({ finished, isCancelled }) => finished === undefined && isCancelled !== true,
      ).length,
    stop: () => server.stop(),
  };
}

async function dropbox(): Promise<FarEnd> {
  const server = await startDropboxServer({ port: 0 });
  const { appKey, authorization } = server;
  let { refreshToken } = server;
  const access = (endpoint: string, secrets: Access['secrets'] = {}): Access => ({
    config: { endpoint },
    secrets: { appKey, refreshToken, ...secrets },
  });
  return {
    provider: 'dropbox',
    url: server.url,
    bucket: '',
    access,
    wrongKey: access(server.url, { appKey: 'nobodysappkey01' }),
    wrongSecret: access(server.url, { appSecret: 'notTheAppSecret' }),
    expireTokens: () => authorization.expireAccessTokens(),
    revoke: () => {
      authorization.revokeRefreshToken(refreshToken);
      authorization.expireAccessTokens();
      return undefined;
    },
    restore: () => {
      refreshToken = authorization.newRefreshToken(true);
    },
    tooBusy: (seconds) =>
      jsonAnswer(
        429,
        { reason: { '.tag': 'too_many_requests' }, retry_after: seconds },
        { 'retry-after': String(seconds) },
      ),
    failure: { status: 500, headers: { 'content-type': 'text/html' }, body: '<html>Made by the test</html>' },
    wrongTag: {
      editAnswer: (body) =>
        body.toString('latin1').startsWith('{')
          ? body
              .toString()
              .replaceAll(/"content_hash": ?"[0-9a-f]+"/g, `"content_hash":"${OTHER_MD5}${OTHER_MD5}"`)
          : body,
    },
    editList: editArray('entries'),
    setClockOff: (ms) => server.advance(ms),
    kindOf: ({ url }) => {
      if (/^\/2\/files\/upload/.test(url)) return 'write';
      if (url === '/2/files/download') return 'read';
      return url.startsWith('/2/files/list_folder') ? 'list' : 'other';
    },
    stop: () => server.stop(),
  };
}

export const FAR_ENDS: Readonly<Record<string, () => Promise<FarEnd>>> = {
  s3,
  b2,
  'azure-blob': azureBlob,
  'google-cloud-storage': googleCloudStorage,
  dropbox,
};
