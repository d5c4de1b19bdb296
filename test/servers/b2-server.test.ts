/**
 * The B2 server of the tests, judged by clients that aren't ours: the AWS SDK here, rclone's b2 backend in
 * test/rclone/b2.test.ts. Each rule names where it comes from; none was ever held against Backblaze itself.
 */

import assert from 'node:assert/strict';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { B2Key } from './b2/keys.js';
import { type B2Server, startB2Server } from './b2/server.js';

const Bucket = 'photos-of-ours';

describe('The B2 server of the tests', () => {
  let server: B2Server;
  const clients: S3Client[] = [];
  beforeEach(async () => {
    server = await startB2Server();
    server.createBucket(Bucket);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await server.stop();
  });

  const clientOf = (key: B2Key): S3Client => {
    const client = new S3Client({
      endpoint: server.url,
      region: server.region,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId: key.applicationKeyId, secretAccessKey: key.applicationKey },
    });
    clients.push(client);
    return client;
  };

  const refused = async (
    sent: Promise<unknown>,
    status: number,
    code: string,
    words?: RegExp,
  ): Promise<void> => {
    await assert.rejects(
      sent,
      (error: { name: string; message: string; $metadata: { httpStatusCode?: number } }) => {
        assert.equal(error.$metadata.httpStatusCode, status);
        assert.equal(error.name, code);
        if (words !== undefined) assert.match(error.message, words);
        return true;
      },
    );
  };

  it('does not know the master key: https://www.backblaze.com/docs/cloud-storage-s3-compatible-app-keys', async () => {
    await refused(clientOf(server.masterKey).send(new ListBucketsCommand({})), 403, 'InvalidAccessKeyId');
  });

  it('refuses conditional writes: https://github.com/sathinduga/obsidian-s3-sync-and-backup/issues/78', async () => {
    const client = clientOf(server.addKey());
    const input = { Bucket, Key: 'x', Body: 'x' };
    const words = /A header you provided implies functionality that is not implemented/;
    await refused(
      client.send(new PutObjectCommand({ ...input, IfNoneMatch: '*' })),
      501,
      'NotImplemented',
      words,
    );
    await refused(
      client.send(new PutObjectCommand({ ...input, IfMatch: '"x"' })),
      501,
      'NotImplemented',
      words,
    );
    await client.send(new PutObjectCommand(input));
    const { ETag } = await client.send(new HeadObjectCommand({ Bucket, Key: 'x' }));
    await client.send(new GetObjectCommand({ Bucket, Key: 'x', IfMatch: ETag }));
  });

  it('keeps versions, and hides on delete: https://www.backblaze.com/apidocs/s3-delete-object', async () => {
    const client = clientOf(server.addKey());
    await client.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'one' }));
    await client.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'two' }));
    const deleted = await client.send(new DeleteObjectCommand({ Bucket, Key: 'x' }));
    assert.equal(deleted.DeleteMarker, true);
    const listed = await client.send(new ListObjectVersionsCommand({ Bucket }));
    assert.equal(listed.Versions?.length, 2);
    assert.equal(listed.DeleteMarkers?.length, 1);
    const VersionId = listed.DeleteMarkers![0]!.VersionId;
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'x', VersionId }));
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: 'x' }));
    assert.equal(await Body?.transformToString(), 'two');
  });

  it('holds keys to their capabilities: https://www.backblaze.com/docs/cloud-storage-s3-compatible-app-keys', async () => {
    const all = clientOf(server.addKey());
    await all.send(new PutObjectCommand({ Bucket, Key: 'nas/x', Body: 'x' }));
    const key = server.addKey({
      buckets: [Bucket],
      prefix: 'nas/',
      capabilities: ['listBuckets', 'listFiles', 'readFiles', 'writeFiles'],
    });
    const client = clientOf(key);
    await refused(client.send(new ListBucketsCommand({})), 403, 'AccessDenied');
    await refused(client.send(new ListObjectsV2Command({ Bucket })), 403, 'AccessDenied');
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'nas/' }));
    assert.equal(Contents?.length, 1);
    await refused(client.send(new PutObjectCommand({ Bucket, Key: 'y', Body: 'y' })), 403, 'AccessDenied');
    const VersionId = server.s3.objects.find(Bucket, 'nas/x')!.versionId;
    // "writeFiles is necessary when you delete a file by name, deleteFiles when you delete a specific version."
    const removal = new DeleteObjectCommand({ Bucket, Key: 'nas/x', VersionId });
    await refused(client.send(removal), 403, 'AccessDenied');
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'nas/x' }));
  });

  it('names caps: https://www.backblaze.com/docs/cloud-storage-data-caps-and-alerts', async () => {
    const client = clientOf(server.addKey());
    await client.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'x' }));
    server.exceededCap = 'storage';
    const put = client.send(new PutObjectCommand({ Bucket, Key: 'y', Body: 'y' }));
    await refused(put, 403, 'AccessDenied', /storage cap exceeded/);
    server.exceededCap = 'download';
    const get = client.send(new GetObjectCommand({ Bucket, Key: 'x' }));
    await refused(get, 403, 'AccessDenied', /Class B\) cap exceeded/);
    await refused(client.send(new HeadObjectCommand({ Bucket, Key: 'x' })), 403, 'Unknown');
  });

  it('shows file info as metadata and keeps it in copies', async () => {
    const client = clientOf(server.addKey());
    server.s3.objects.put(Bucket, 'x', Buffer.from('x'), { metadata: { src_last_modified_millis: '1500' } });
    await client.send(new CopyObjectCommand({ Bucket, Key: 'y', CopySource: `${Bucket}/x` }));
    const { Metadata } = await client.send(new HeadObjectCommand({ Bucket, Key: 'y' }));
    assert.deepEqual(Metadata, { src_last_modified_millis: '1500' });
  });
});
