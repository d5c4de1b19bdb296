import assert from 'node:assert/strict';
import { readTypedCredential } from '../../nodes/typed-credential.js';
import type { CloudSyncError } from '../../src/errors.js';
import { PROVIDERS, type ProviderDescription } from '../../src/stores/registry.js';

/** What Node-RED's dialogs show for a stored password. */
const STORED = '__PWRD__';

type Values = Record<string, unknown>;
type Red = Parameters<typeof readTypedCredential>[0];

/** Values that every provider takes. */
const CONFIG: Values = {
  preset: 'minio',
  endpoint: 'https://storage.example.org',
  region: 'us-west-004',
  caCertificate: '-----BEGIN CERTIFICATE-----',
  forcePathStyle: 'true',
  maxUploadParts: '1000',
  accountName: 'photos',
  projectId: 'project',
};
const OTHER_CONFIG: Values = {
  preset: 'ceph',
  endpoint: 'https://storage.example.org.evil.example',
  region: 'eu-central-003',
  caCertificate: '-----BEGIN CERTIFICATE----- another',
  forcePathStyle: 'false',
  maxUploadParts: '10',
  accountName: 'others',
  projectId: 'other',
};
/** May be changed without typing secrets again: they lead to the same company, or nowhere. */
const HARMLESS = ['region', 'forcePathStyle', 'maxUploadParts', 'projectId'];

function storedSecrets(provider: ProviderDescription): Values {
  const secrets = provider.fields.filter(({ secret }) => secret);
  return Object.fromEntries(secrets.map(({ name }) => [name, `stored${name}`]));
}

function storedConfig(provider: ProviderDescription): Values {
  const names = provider.fields.filter(({ secret }) => !secret).map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, CONFIG[name]]));
}

/** Node-RED with one credential deployed. */
function redWith(provider: string, config: Values, secrets: Values): Red {
  const node = { id: 'deployed', type: 'cloud-credential', provider, ...config };
  return {
    nodes: {
      eachNode: (use: (each: unknown) => void) => use(node),
      getCredentials: (id: string) => (id === 'deployed' ? secrets : undefined),
      getNode: () => null,
    },
    util: { evaluateNodeProperty: (text: string) => process.env[text.slice(2, -1)] },
  } as unknown as Red;
}

for (const provider of PROVIDERS) {
  describe(`A typed credential of ${provider.label}`, () => {
    const config = storedConfig(provider);
    const stored = storedSecrets(provider);
    /** As the dialog sends it: what the browser may know in clear, and placeholders for the rest. */
    const shown = Object.fromEntries(
      provider.fields
        .filter(({ secret }) => secret)
        .map(({ name, type }) => [name, type === 'text' ? stored[name] : STORED]),
    );
    const RED = redWith(provider.id, config, stored);
    const read = (changes: { config?: Values; secrets?: Values; id?: string; provider?: string } = {}) =>
      readTypedCredential(RED, {
        credential: {
          id: changes.id ?? 'deployed',
          name: 'mine',
          provider: changes.provider ?? provider.id,
          config: { ...config, ...changes.config },
          secrets: { ...shown, ...changes.secrets },
        },
      });
    const hidden = provider.fields
      .filter(({ secret, type }) => secret && type !== 'text')
      .map(({ name }) => name);

    const assertRefused = (act: () => unknown, words: RegExp) =>
      assert.throws(act, (error: CloudSyncError) => {
        assert.equal(error.code, 'INVALID_INPUT');
        assert.ok(hidden.includes(error.field ?? ''), error.field);
        assert.match(error.message, words);
        assert.ok(error.advice);
        assert.ok(!JSON.stringify(error.toRecord()).includes(`stored${error.field}`));
        return true;
      });

    it('gets the stored secrets where nothing was changed', () => {
      assert.deepEqual(read().secrets, stored);
    });

    for (const { name, secret, type } of provider.fields.filter(
      (field) => !field.secret || field.type === 'text',
    )) {
      const change = secret ? { secrets: { [name]: 'another' } } : { config: { [name]: OTHER_CONFIG[name] } };
      if (HARMLESS.includes(name)) {
        it(`gets them where ${name} was changed`, () => assert.deepEqual(read(change).secrets, stored));
        continue;
      }
      it(`gets none where ${name} was changed (${type})`, () => {
        assertRefused(() => read(change), new RegExp(`is needed again, because ${name} was changed`));
      });
      it(`gets none where ${name} was emptied`, () => {
        const emptied = secret ? { secrets: { [name]: '' } } : { config: { [name]: '' } };
        assert.throws(
          () => read(emptied),
          (error: CloudSyncError) => error.code === 'INVALID_INPUT' || error.code === 'CREDENTIAL_MISSING',
        );
      });
      it(`takes what is typed again where ${name} was changed`, () => {
        const typed = Object.fromEntries(hidden.map((one) => [one, `typed${one}`]));
        const { secrets } = read({ ...change, secrets: { ...change.secrets, ...typed } });
        for (const one of hidden) assert.equal(secrets[one], `typed${one}`);
      });
    }

    it('gets none for another id, or as another provider', () => {
      assertRefused(() => read({ id: 'somebody-else' }), /known only after a deploy/);
      const other = PROVIDERS.find(({ id }) => id !== provider.id)!;
      const secrets = Object.fromEntries(
        other.fields.filter((field) => field.secret).map(({ name }) => [name, STORED]),
      );
      assert.throws(
        () =>
          readTypedCredential(RED, {
            credential: { id: 'deployed', name: '', provider: other.id, config: CONFIG, secrets },
          }),
        (error: CloudSyncError) =>
          error.code === 'INVALID_INPUT' && /provider was changed/.test(error.message),
      );
    });

    it('sees through spaces, which change nothing', () => {
      assert.deepEqual(read({ config: { endpoint: ` ${CONFIG.endpoint} ` } }).secrets, stored);
    });
  });
}
