/** The recovery sheet, used by rclone alone: an encrypted backup comes back without this package. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  generateAccountSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { execute } from '../../src/runner/execute.js';
import { recoverySheet, SHEET_REMOTE } from '../../src/runner/recovery-sheet.js';
import type { TaskCredential, TaskSettings } from '../../src/runner/task.js';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { readTree, writeTree } from '../engine/support.js';
import { runRequest } from '../runner/support.js';
import { startAzurite } from '../servers/azurite.js';
import { startB2Server } from '../servers/b2/server.js';
import { DROPBOX_TEST_CERTIFICATE, startDropboxProxy } from '../servers/dropbox/proxy.js';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { startS3Server } from '../servers/s3/server.js';
import { rcloneVersion, runRcloneAlongside } from './rclone.js';

interface Server {
  stop(): Promise<void>;
  credential: Pick<TaskCredential, 'provider' | 'config' | 'secrets'>;
  /** Of the credential in the sheet, where it is another one. */
  sheetConfig?: TaskCredential['config'];
  /** What rclone has to be told to find a server on this machine. */
  args?: string[];
  environment?: Record<string, string>;
}

const SERVERS: Record<string, () => Promise<Server>> = {
  S3: async () => {
    const server = await startS3Server({ buckets: ['backups'] });
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const secrets = { accessKeyId, secretAccessKey };
    return {
      stop: () => server.stop(),
      credential: { provider: 's3', config: { endpoint, region }, secrets },
    };
  },
  'Google Cloud Storage': async () => {
    const server = await startGoogleCloudStorageServer({ port: 0, buckets: ['backups'] });
    const { url: endpoint, serviceAccountKey } = server;
    // As it is downloaded: on many lines.
    const secrets = { serviceAccountKey: JSON.stringify(JSON.parse(serviceAccountKey), null, 2) };
    return {
      stop: () => server.stop(),
      credential: { provider: 'google-cloud-storage', config: { endpoint }, secrets },
    };
  },
};

const AZURE = {
  'Azure Blob Storage': 'accountKey',
  'Azure Blob Storage by SAS': 'sasToken',
} as const;
for (const [name, secret] of Object.entries(AZURE)) {
  SERVERS[name] = async () => {
    const { endpoint, accountName, accountKey, stop } = await startAzurite();
    const config = { endpoint, accountName };
    const account = openAzureBlobAccount(config, { accountKey }, {});
    await account.createBucket('backups');
    await account.close();
    const secrets =
      secret === 'accountKey' ? { accountKey } : { sasToken: sasToken(accountName, accountKey) };
    return { stop, credential: { provider: 'azure-blob', config, secrets } };
  };
}

function sasToken(accountName: string, accountKey: string): string {
  const permissions = AccountSASPermissions.parse('rwdlacup');
  const resourceTypes = AccountSASResourceTypes.parse('sco').toString();
  const expiresOn = new Date(Date.now() + 3_600_000);
  const values = { permissions, resourceTypes, expiresOn, services: 'b' };
  const credential = new StorageSharedKeyCredential(accountName, accountKey);
  return `?${generateAccountSASQueryParameters(values, credential)}`;
}

for (const [name, secretsOf] of [
  ['Dropbox', ({ refreshToken, appKey, appSecret }) => ({ refreshToken, appKey, appSecret })],
  ['Dropbox by access token', ({ accessToken }) => ({ accessToken })],
] as [string, (server: DropboxServer) => TaskCredential['secrets']][]) {
  SERVERS[name] = async () => {
    const server = await startDropboxServer({ port: 0 });
    const proxy = await startDropboxProxy(server.url);
    const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-dropbox-'));
    const certificate = join(folder, 'certificate.pem');
    writeFileSync(certificate, DROPBOX_TEST_CERTIFICATE);
    return {
      credential: { provider: 'dropbox', config: { endpoint: server.url }, secrets: secretsOf(server) },
      args: ['--ca-cert', certificate],
      environment: { HTTPS_PROXY: proxy.url },
      stop: async () => {
        await proxy.stop();
        await server.stop();
        rmSync(folder, { recursive: true });
      },
    };
  };
}

for (const [name, isForeign] of [
  ['Backblaze B2', false],
  ["another server with B2's S3 interface", true],
] as const) {
  SERVERS[name] = async () => {
    const server = await startB2Server();
    server.createBucket('backups');
    const { applicationKeyId, applicationKey } = server.addKey();
    const config = { endpoint: server.url, region: server.region };
    const credential = { provider: 'b2', config, secrets: { applicationKeyId, applicationKey } };
    const stop = () => server.stop();
    if (isForeign) return { stop, credential };
    return { stop, credential, sheetConfig: {}, args: ['--b2-endpoint', server.url] };
  };
}

const TREE = { 'a.txt': 'aaa', 'Ordner/ü.txt': 'ü', 'deep/er/b.bin': 'b'.repeat(200_000), empty: '' };

describe('rclone with a recovery sheet', function () {
  this.timeout(120_000);
  let folder: string;

  before(function () {
    if (rcloneVersion() !== undefined) return;
    if (process.env.CI_REQUIRE_SERVERS === '1') throw new Error('rclone is not installed');
    console.warn('      NOT RUN: rclone is not installed, no recovery sheet was tried');
    this.skip();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-sheet-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const ways: [string, Partial<TaskSettings>][] = [
    [
      'encrypted names',
      { filenameEncryption: true, encryptionPassword: 'pass "word" ü', encryptionSalt: 'salt = x' },
    ],
    ['plain names and no salt', { filenameEncryption: false, encryptionPassword: '  spaces  ' }],
    [
      'no encryption, but a password from before',
      { encryption: false, filenameEncryption: true, encryptionPassword: 'old' },
    ],
  ];
  for (const [name, start] of Object.entries(SERVERS)) {
    for (const [way, encryption] of ways) {
      it(`restores a backup from ${name} with ${way}`, async () => {
        const server = await start();
        try {
          const local = join(folder, 'local');
          writeTree(local, TREE);
          const request = runRequest(join(folder, 'data'), {
            credential: { id: 'c', name: 'Store', ...server.credential },
            bucket: server.credential.provider === 'dropbox' ? '' : 'backups',
            folder: '/photos/mine/',
            path: local,
            encryption: true,
            ...encryption,
          });
          const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
          const result = await execute(request, host).result;
          assert.deepEqual([result.status, result.errors], ['success', []]);
          const config = join(folder, 'rclone.conf');
          const { credential } = request.task;
          const { sheetConfig = credential.config, args: found = [] } = server;
          const task = { ...request.task, credential: { ...credential, config: sheetConfig } };
          writeFileSync(config, recoverySheet(task), { mode: 0o600 });
          const target = join(folder, 'restored');
          mkdirSync(target);
          const args = ['--config', config, 'copy', `${SHEET_REMOTE}:`, target, ...found];
          const { exitCode, stderr } = await runRcloneAlongside(args, server.environment);
          assert.equal(exitCode, 0, stderr);
          assert.deepEqual(readTree(target), TREE);
        } finally {
          await server.stop();
        }
      });
    }
  }
});

describe('a recovery sheet', () => {
  const sheetOf = (credential: Pick<TaskCredential, 'provider' | 'config' | 'secrets'>) =>
    recoverySheet({
      credential: { id: 'c', name: 'Store', ...credential },
      bucket: 'backups',
      folder: 'photos',
      encryption: false,
      filenameEncryption: false,
    });

  it('holds the certificate of a private authority, and says how rclone gets it', () => {
    const sheet = sheetOf({
      provider: 's3',
      config: { endpoint: 'https://nas.local', caCertificate: DROPBOX_TEST_CERTIFICATE },
      secrets: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
    });
    assert.match(sheet, /^# .*--ca-cert ca\.pem/m);
    const lines = sheet.split('\n').filter((line) => line.startsWith('# '));
    assert.ok(
      lines
        .map((line) => line.slice(2))
        .join('\n')
        .includes(DROPBOX_TEST_CERTIFICATE),
    );
  });

  it('says which rclone can use a Dropbox sign-in without the secret of its app', () => {
    const secrets = { refreshToken: 'refresh', appKey: 'key' };
    const sheet = sheetOf({ provider: 'dropbox', config: {}, secrets });
    assert.match(sheet, /^# .*rclone 1\.67 or later/m);
    const complete = sheetOf({ provider: 'dropbox', config: {}, secrets: { ...secrets, appSecret: 'x' } });
    assert.doesNotMatch(complete, /^#/m);
  });

  it("takes a token as rclone's own configuration has it", () => {
    const pasted = '{"access_token":"a","refresh_token":"r","token_type":"bearer","expiry":"2030-01-01"}';
    const sheet = sheetOf({ provider: 'dropbox', config: {}, secrets: { refreshToken: pasted } });
    assert.ok(sheet.includes(`token = ${pasted}\n`), sheet);
  });
});
