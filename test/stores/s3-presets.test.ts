import assert from 'node:assert/strict';
import type { CloudSyncError } from '../../src/errors.js';
import { providerById } from '../../src/stores/registry.js';
import { parseEndpoint, s3Identity } from '../../src/stores/s3/identity.js';
import { presetOf, S3_PRESETS, traitsOf } from '../../src/stores/s3/presets.js';
import { contentOf, listKeys, pseudoRandomBytes, readAll, rejectsWith } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const MIB = 1024 * 1024;

describe('S3 presets', () => {
  describe('as data', () => {
    it('are the choices of the credential, each with where its facts come from', () => {
      const field = providerById('s3').fields.find(({ name }) => name === 'preset');
      assert.deepEqual(
        field?.choices?.map(({ value }) => value),
        S3_PRESETS.map(({ id }) => id),
      );
      for (const { id, sources } of S3_PRESETS) assert.ok(sources.length > 0, id);
      assert.equal(new Set(S3_PRESETS.map(({ id }) => id)).size, S3_PRESETS.length);
    });

    const addresses: [config: Record<string, unknown>, identity: string, region: string | undefined][] = [
      [{ preset: 'amazon', region: 'eu-west-1' }, 's3://s3.amazonaws.com', 'eu-west-1'],
      [{ preset: 'wasabi', region: 'eu-central-1' }, 's3://s3.eu-central-1.wasabisys.com', 'eu-central-1'],
      [
        { endpoint: 'https://s3.eu-central-1.wasabisys.com' },
        's3://s3.eu-central-1.wasabisys.com',
        'eu-central-1',
      ],
      [{ endpoint: 'https://s3.wasabisys.com' }, 's3://s3.wasabisys.com', undefined],
      [{ preset: 'scaleway', region: 'fr-par' }, 's3://s3.fr-par.scw.cloud', 'fr-par'],
      [{ preset: 'hetzner', region: 'fsn1' }, 's3://fsn1.your-objectstorage.com', 'fsn1'],
      [{ preset: 'ovhcloud', region: 'gra' }, 's3://s3.gra.io.cloud.ovh.net', 'gra'],
      [{ preset: 'digitalocean-spaces', region: 'fra1' }, 's3://fra1.digitaloceanspaces.com', 'fra1'],
      [{ preset: 'storj' }, 's3://gateway.storjshare.io', undefined],
      [{ preset: 'garage', endpoint: 'http://nas:3900' }, 's3://nas:3900', 'garage'],
      [{ preset: 'garage', endpoint: 'http://nas:3900', region: 'mine' }, 's3://nas:3900', 'mine'],
      [
        { preset: 'cloudflare-r2', endpoint: 'https://0123abcd.r2.cloudflarestorage.com' },
        's3://0123abcd.r2.cloudflarestorage.com',
        'auto',
      ],
      [
        { endpoint: 'https://0123abcd.eu.r2.cloudflarestorage.com/' },
        's3://0123abcd.eu.r2.cloudflarestorage.com',
        'auto',
      ],
      [{ preset: 'wasabi', endpoint: 'http://127.0.0.1:9000' }, 's3://127.0.0.1:9000', undefined],
      [{ preset: 'minio', endpoint: 'https://minio.lan:9000' }, 's3://minio.lan:9000', undefined],
    ];
    for (const [config, identity, region] of addresses) {
      it(`lead to ${identity} from ${JSON.stringify(config)}`, () => {
        assert.equal(s3Identity(config, ''), identity);
        assert.equal(parseEndpoint(config).region, region);
      });
    }

    const refused: [config: Record<string, unknown>, field: string][] = [
      [{ preset: 'minio' }, 'endpoint'],
      [{ preset: 'garage', region: 'garage' }, 'endpoint'],
      [{ preset: 'cloudflare-r2' }, 'endpoint'],
      [{ preset: 'wasabi' }, 'region'],
      [{ preset: 'wasabi', region: 'evil.example/#' }, 'region'],
      [{ preset: 'scaleway', region: 'a.b' }, 'region'],
      [{ preset: 'nobody' }, 'preset'],
    ];
    for (const [config, field] of refused) {
      it(`refuse ${JSON.stringify(config)}, and never fall back to Amazon`, () => {
        assert.throws(
          () => parseEndpoint(config),
          (error: CloudSyncError) =>
            error.code === 'INVALID_INPUT' && error.field === field && error.advice !== undefined,
        );
      });
    }

    it('are recognised by host names too', () => {
      const hosts: Record<string, string | undefined> = {
        'https://s3.fr-par.scw.cloud': 'scaleway',
        'https://s3.us-west-004.backblazeb2.com': 'backblaze-b2',
        'https://gateway.eu1.storjshare.io': 'storj',
        'https://l4g4.ch11.idrivee2-2.com': 'idrive-e2',
        'https://s3.eu-central-1.amazonaws.com': undefined,
        'https://minio.lan': undefined,
        'https://s3.fr-par.scw.cloud.example.org': undefined,
      };
      for (const [endpoint, id] of Object.entries(hosts))
        assert.equal(presetOf({ endpoint })?.id, id, endpoint);
    });

    it('set what the user can set too, and the user goes first', () => {
      assert.equal(traitsOf({ preset: 'scaleway' }).maxUploadParts, 1000);
      assert.equal(traitsOf({ preset: 'scaleway', maxUploadParts: 500 }).maxUploadParts, 500);
      assert.equal(traitsOf({ preset: 'scaleway', maxUploadParts: 0 }).maxUploadParts, 1000);
      assert.equal(traitsOf({ maxUploadParts: 20_000 }).maxUploadParts, 10_000);
      assert.equal(traitsOf({ preset: 'storj' }).order, 'none');
      assert.equal(traitsOf({ preset: 'storj' }).partSize, 64 * MIB);
    });
  });

  describe('at a server', () => {
    let server: S3Server;
    before(async () => {
      server = await startS3Server({ port: 0 });
    });
    beforeEach(() => {
      server.createBucket(BUCKET);
    });
    afterEach(async () => {
      server.faults.clear();
      await closeAll();
    });
    after(() => server.stop());

    it('that ignores conditions: they are looked at before', async () => {
      server.faults.add({ action: { type: 'ignore-conditions' } });
      const { store } = openAt(server, { config: { preset: 'garage' } });
      assert.equal(store.features.conditionalWrite, false);
      await store.write('x', contentOf('one'), { ifNoneMatch: '*' });
      await rejectsWith(
        () => store.write('x', contentOf('two'), { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
      );
      assert.equal((await readAll(store, 'x')).toString(), 'one');
    });

    it('without versions: there is no way back, and deleting all versions is deleting', async () => {
      server.faults.add({
        operation: 'ListObjectVersions',
        action: { type: 'error', code: 'NotImplemented', status: 501 },
      });
      const { store } = openAt(server, {
        config: { preset: 'cloudflare-r2' },
        context: { options: { deleteVersions: true } },
      });
      await store.write('x', contentOf('x'));
      const error = await rejectsWith(() => listKeys(store, { asOf: Date.now() }), 'NOT_SUPPORTED');
      assert.match(error.message, /keeps no old versions/);
      await store.delete({ key: 'x' });
      assert.deepEqual(await listKeys(store), []);
    });

    it('whose ETags of objects in parts are its own: the size is asked for, and nothing is blamed', async () => {
      server.faults.add({
        operation: ['CompleteMultipartUpload', 'HeadObject'],
        action: { type: 'wrong-etag' },
      });
      const bytes = pseudoRandomBytes(6 * MIB);
      const { store } = openAt(server, { config: { preset: 'seaweedfs' } });
      const upload = await store.createUpload('x', bytes.length, { partSize: 5 * MIB });
      await upload.sendPart(1, contentOf(bytes.subarray(0, 5 * MIB)));
      await upload.sendPart(2, contentOf(bytes.subarray(5 * MIB)));
      const stored = await upload.complete();
      server.faults.clear();
      assert.equal(stored.size, bytes.length);
      server.objects.change(BUCKET, 'x', { etag: `${'a'.repeat(32)}-2` });
      const listed = (await store.head('x'))!;
      assert.equal(await store.compareContent!(listed, contentOf(bytes), { claims: false }), 'unknown');
    });

    it('that lists in an order of its own: every version of a key is still found', async () => {
      const bucket = server.createBucket({ name: BUCKET, versioning: 'Enabled' });
      const { store } = openAt(server, {
        config: { preset: 'storj' },
        context: { options: { deleteVersions: true } },
      });
      assert.equal(store.features.order, 'none');
      for (const key of ['x', 'x', 'x1', 'x2']) await store.write(key, contentOf(key));
      server.faults.add({
        operation: 'ListObjectVersions',
        action: { type: 'list', change: (page) => void page.items.reverse() },
      });
      await store.delete({ key: 'x' });
      assert.deepEqual([...bucket.keys.values()].map(({ key }) => key).sort(), ['x1', 'x2']);
    });

    it('that takes a thousand parts: these are large enough', async () => {
      const { store } = openAt(server, { config: { preset: 'scaleway' } });
      assert.equal(store.features.upload.maxParts, 1000);
      const upload = await store.createUpload('x', 20_000 * MIB);
      assert.ok(upload.partCount <= 1000, String(upload.partCount));
      await upload.abort();
    });
  });
});
