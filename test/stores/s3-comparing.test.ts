import assert from 'node:assert/strict';
import { partContent } from '../../src/stores/parts.js';
import { contentOf, listAll, pseudoRandomBytes } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const MIB = 1024 * 1024;
const SIZE = 17 * MIB + 1;

describe('S3 objects in parts, held against a content', () => {
  let server: S3Server;
  before(async () => {
    server = await startS3Server({ buckets: [BUCKET] });
  });
  afterEach(async () => {
    server.faults.clear();
    await closeAll();
  });
  after(() => server.stop());

  const bytes = pseudoRandomBytes(SIZE);
  const changed = Buffer.from(bytes);
  changed[SIZE - 1]! ^= 1;

  /** Uploads `bytes` in such parts and compares by what the server computed alone. */
  const compareAfterUpload = async (partSize: number) => {
    const { store } = openAt(server);
    const key = `parts of ${partSize}`;
    const upload = await store.createUpload(key, SIZE, { partSize });
    for (let number = 1; number <= upload.partCount; number++) {
      await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
    }
    await upload.complete();
    const [listed] = await listAll(store, { prefix: key });
    const compare = (content: Buffer) =>
      store.compareContent!(listed!, contentOf(content), { claims: false });
    return { same: await compare(bytes), other: await compare(changed) };
  };

  it('are equal or different whatever the size of their parts', async () => {
    for (const partSize of [5 * MIB, 7 * MIB + 11, 16 * MIB]) {
      assert.deepEqual(await compareAfterUpload(partSize), { same: 'equal', other: 'different' });
    }
  });

  describe('where the server does not tell the size of a part', () => {
    beforeEach(() => {
      server.faults.add({
        operation: 'HeadObject',
        match: ({ query }) => query.has('partNumber'),
        action: {
          type: 'edit-answer',
          edit: (answer) => {
            answer.status = 200;
            answer.headers['content-length'] = String(SIZE);
          },
        },
      });
    });

    it('are equal by the sizes that programs use, and never different by a guess', async () => {
      for (const mib of [5, 6, 8, 15, 16]) {
        assert.deepEqual(
          await compareAfterUpload(mib * MIB),
          { same: 'equal', other: 'unknown' },
          `${mib} MiB`,
        );
      }
    });

    it('are unknown where no usual size fits', async () => {
      assert.equal((await compareAfterUpload(12 * MIB + 7)).same, 'unknown');
    });
  });
});
