import assert from 'node:assert/strict';
import { cloudSyncEnvironment } from '../../src/runner/environment.js';
import { scrubber, scrubberOf, secretsOf } from '../../src/runner/scrub.js';
import type { TaskCredential } from '../../src/runner/task.js';
import { runRequest } from './support.js';

/** Variables without the prefix they all have. */
function variables(
  credential: Partial<TaskCredential>,
  task: Parameters<typeof runRequest>[1],
  secrets: boolean,
): Record<string, string> {
  const whole = { id: 'c', name: 'C', provider: 's3', config: {}, secrets: {}, ...credential };
  const found = cloudSyncEnvironment(runRequest('/data', { credential: whole, ...task }), secrets);
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => {
      assert.ok(name.startsWith('CLOUD_SYNC_'), name);
      return [name.slice('CLOUD_SYNC_'.length), value];
    }),
  );
}

const TASK = { taskId: 'abc', name: 'Photos', path: '/srv/photos', bucket: 'b', folder: 'f' };
const GENERAL = {
  ID: 'abc',
  DESCRIPTION: 'Photos',
  DIRECTION: 'PUSH',
  TRANSFER_MODE: 'SYNC',
  ENCRYPTION: '0',
  FILENAME_ENCRYPTION: '0',
  SNAPSHOT: '0',
  PATH: '/srv/photos',
  BUCKET: 'b',
  FOLDER: 'f',
};

describe('CLOUD_SYNC_* variables', () => {
  it('hold the values of the task, empty ones left out', () => {
    const encrypted = {
      encryption: true,
      filenameEncryption: true,
      encryptionPassword: 'pass',
      encryptionSalt: '',
    };
    const rest = {
      snapshot: true,
      chunkSize: 96,
      storageClass: 'GLACIER',
      direction: 'push',
      bucket: '',
    } as const;
    assert.deepEqual(variables({}, { ...TASK, ...encrypted, ...rest }, true), {
      ...{ ID: 'abc', DESCRIPTION: 'Photos', DIRECTION: 'PUSH', TRANSFER_MODE: 'SYNC', ENCRYPTION: '1' },
      ...{ FILENAME_ENCRYPTION: '1', SNAPSHOT: '1', PATH: '/srv/photos', FOLDER: 'f', CHUNK_SIZE: '96' },
      ...{ STORAGE_CLASS: 'GLACIER', ENCRYPTION_PASSWORD: 'pass', TYPE: 'S3' },
    });
  });

  const providers: {
    credential: Pick<TaskCredential, 'provider' | 'config' | 'secrets'>;
    plain: Record<string, string>;
    secret: Record<string, string>;
  }[] = [
    {
      credential: {
        provider: 's3',
        config: { endpoint: 'https://s3.example.com', region: 'eu-central-1' },
        secrets: { accessKeyId: 'AKIA', secretAccessKey: 'hidden' },
      },
      plain: {
        TYPE: 'S3',
        ENDPOINT: 'https://s3.example.com',
        REGION: 'eu-central-1',
        ACCESS_KEY_ID: 'AKIA',
      },
      secret: { SECRET_ACCESS_KEY: 'hidden' },
    },
    {
      credential: {
        provider: 'b2',
        config: {},
        secrets: { applicationKeyId: '0012', applicationKey: 'hidden' },
      },
      plain: { TYPE: 'B2', ACCOUNT: '0012' },
      secret: { KEY: 'hidden' },
    },
    {
      credential: {
        provider: 'azure-blob',
        config: { accountName: 'photos' },
        secrets: { accountKey: 'hidden' },
      },
      plain: { TYPE: 'AZUREBLOB', ACCOUNT: 'photos' },
      secret: { KEY: 'hidden' },
    },
    {
      credential: {
        provider: 'google-cloud-storage',
        config: { projectId: 'p' },
        secrets: { serviceAccountKey: '{"private_key":"hidden"}' },
      },
      plain: { TYPE: 'GOOGLE_CLOUD_STORAGE' },
      secret: { SERVICE_ACCOUNT_CREDENTIALS: '{"private_key":"hidden"}' },
    },
    {
      credential: {
        provider: 'dropbox',
        config: {},
        secrets: { appKey: 'key', appSecret: 'hidden', refreshToken: 'hidden too' },
      },
      plain: { TYPE: 'DROPBOX', CLIENT_ID: 'key' },
      secret: {
        CLIENT_SECRET: 'hidden',
        TOKEN: JSON.stringify({
          access_token: 'expired',
          token_type: 'bearer',
          refresh_token: 'hidden too',
          expiry: '2000-01-01T00:00:00Z',
        }),
      },
    },
    {
      credential: { provider: 'dropbox', config: {}, secrets: { accessToken: '{"access_token":"hidden"}' } },
      plain: { TYPE: 'DROPBOX' },
      secret: { TOKEN: '{"access_token":"hidden"}' },
    },
  ];
  for (const { credential, plain, secret } of providers) {
    it(`of ${credential.provider}: secrets only where asked for`, () => {
      assert.deepEqual(variables(credential, TASK, false), { ...GENERAL, ...plain });
      assert.deepEqual(variables(credential, TASK, true), { ...GENERAL, ...plain, ...secret });
      assert.ok(!JSON.stringify(variables(credential, TASK, false)).includes('hidden'));
    });
  }

  it('of a restore say what it does, not what its task does', () => {
    const restore = { path: '/back', transferMode: 'copy' as const, include: [], exclude: [], thaw: false };
    const request = runRequest('/data', TASK, {
      operation: 'restore',
      restore: { ...restore, thawTier: '', thawDays: null, dryRun: false },
    });
    const found = cloudSyncEnvironment(request, false);
    assert.equal(found.CLOUD_SYNC_DIRECTION, 'PULL');
    assert.equal(found.CLOUD_SYNC_TRANSFER_MODE, 'COPY');
    assert.equal(found.CLOUD_SYNC_PATH, '/back');
  });

  it('hold no encryption password where the task does not encrypt', () => {
    const found = variables({}, { ...TASK, encryptionPassword: 'left over' }, true);
    assert.equal(found.ENCRYPTION_PASSWORD, undefined);
  });
});

describe('Scrubbing', () => {
  it('hides secrets plain, in base64, URL-encoded, in JSON and line by line; key ids stay', () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${'A/b+'.repeat(16)}\n-----END PRIVATE KEY-----\n`;
    const request = runRequest('/data', { encryption: true, encryptionPassword: 'correct "horse"' });
    request.task.credential.secrets.sessionToken = JSON.stringify({ private_key: key });
    const scrub = scrubberOf(request);
    const secrets = ['top/secret+value', 'correct "horse"', 'A/b+'.repeat(16)];
    for (const secret of secrets) {
      const forms = [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
        Buffer.from(secret).toString('base64url'),
        JSON.stringify(secret),
      ];
      // A line of a key has a base64 form only inside that of the whole key.
      for (const form of secret.length > 60 ? [secret] : forms) {
        assert.ok(!scrub(`before ${form} after`).includes(form.replaceAll('"', '')), form);
        assert.match(scrub(`before ${form} after`), /^before .* after$/);
      }
    }
    assert.equal(scrub('AKIAEXAMPLE'), 'AKIAEXAMPLE');
  });

  it('hides them in base64 of more than they are, as a server repeats an Authorization header', () => {
    const secret = 'top/secret+value';
    const scrub = scrubber([secret]);
    for (const encoding of ['base64', 'base64url'] as const) {
      for (const before of ['', 'k', 'ke', 'key:', 'a longer name:']) {
        for (const behind of ['', ':', 'and more']) {
          const encoded = Buffer.from(before + secret + behind).toString(encoding);
          // Four characters hold three bytes of it.
          const start = Math.ceil((before.length * 4) / 3) + 1;
          const inside = encoded.slice(start, start + 16);
          assert.ok(
            !scrub(`Basic ${encoded}`).includes(inside),
            `${before}${secret}${behind} in ${encoding}`,
          );
        }
      }
    }
  });

  it('leaves text alone where there is nothing to hide', () => {
    assert.equal(scrubber(['', 'abc'])('abc and .*'), 'abc and .*');
    assert.equal(scrubber(['.*+?'])('abc'), 'abc');
  });

  it('takes everything for a secret where the provider is unknown', () => {
    const credential = { id: '', name: '', provider: 'floppy', config: {}, secrets: { label: 'private' } };
    assert.deepEqual(secretsOf(credential), ['private']);
  });
});
