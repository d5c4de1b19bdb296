/** Pages of List Blobs, read from XML as the documentation shows it, and put from Azure's order into UTF-8 order. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CloudSyncError } from '../../src/errors.js';
import { parseListPage } from '../../src/stores/azure-blob/list-page.js';
import { formatTime, objectOf, parseTime } from '../../src/stores/azure-blob/objects.js';
import { Utf8Reorder } from '../../src/stores/azure-blob/utf8-reorder.js';
import type { StoredObject } from '../../src/stores/store.js';
import { inUtf8Order } from '../conformance/support.js';

describe('a page of List Blobs', () => {
  // https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body
  const page = (blobs: string, end = '<NextMarker />') =>
    `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://photos.blob.core.windows.net/" ContainerName="backup"><Prefix>a</Prefix><MaxResults>5000</MaxResults><Blobs>${blobs}</Blobs>${end}</EnumerationResults>`;

  it('gives what is needed of each blob', () => {
    const { blobs, nextMarker } = parseListPage(
      page(
        '<Blob><Name>a &amp; b&#x20AC;&lt;</Name><Deleted>false</Deleted><VersionId>2026-01-01T10:00:00.1234567Z</VersionId>' +
          '<IsCurrentVersion>true</IsCurrentVersion><Properties><Creation-Time>Thu, 01 Jan 2026 10:00:00 GMT</Creation-Time>' +
          '<Last-Modified>Fri, 02 Jan 2026 10:00:00 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag>' +
          '<Content-Length>100</Content-Length><Content-Type>text/html</Content-Type><Content-Encoding />' +
          '<Content-Language>en-US</Content-Language><Content-MD5>CY9rzUYh03PK3k6DJie09g==</Content-MD5><Cache-Control>no-cache</Cache-Control>' +
          '<BlobType>BlockBlob</BlobType><AccessTier>Archive</AccessTier><ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus>' +
          '<LeaseStatus>unlocked</LeaseStatus></Properties><Metadata><mtime>2023-11-14T22:13:20.123456789Z</mtime><Color>blue &gt; red</Color><x-ms-invalid-name>a-b</x-ms-invalid-name></Metadata>' +
          '<Tags><TagSet><Tag><Key>Name</Key><Value>v</Value></Tag></TagSet></Tags><OrMetadata /></Blob>',
        '<NextMarker>2!8!abc&amp;</NextMarker>',
      ),
    );
    assert.equal(nextMarker, '2!8!abc&');
    assert.deepEqual(blobs.map(objectOf), [
      {
        key: 'a & b€<',
        kind: 'file',
        size: 100,
        modificationTime: 1_700_000_000_123_456_789n,
        storedTime: Date.parse('2026-01-02T10:00:00Z'),
        etag: '0x8CBFF45D8A29A19',
        versionId: '2026-01-01T10:00:00.1234567Z',
        isLatest: true,
        claimedHashes: { md5: '098f6bcd4621d373cade4e832627b4f6' },
        storageClass: 'Archive',
        archive: 'thawing',
        metadata: { color: 'blue > red' },
      },
    ]);
  });

  it('decodes the names that XML can not hold', () => {
    const { blobs, prefixes } = parseListPage(
      page(
        '<Blob><Name Encoded="true">dir%2Fodd%EF%BF%BE%25</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>' +
          '<Blob><Name> a%2Fb </Name><Properties><Content-Length>1</Content-Length></Properties></Blob>' +
          '<BlobPrefix><Name Encoded="true">p%EF%BF%BE%2F</Name></BlobPrefix><BlobPrefix><Name>q/</Name></BlobPrefix>',
      ),
    );
    assert.deepEqual(
      blobs.map((blob) => blob.key),
      ['dir/odd\ufffe%', ' a%2Fb '],
    );
    assert.deepEqual(prefixes, ['p\ufffe/', 'q/']);
  });

  it('that is cut anywhere is an error, never a shorter page', () => {
    const whole = page(
      '<Blob><Name>a</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>'.repeat(3),
    );
    assert.equal(parseListPage(whole).blobs.length, 3);
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => parseListPage(whole.slice(0, length)), CloudSyncError);
    }
  });
});

describe("Azure's order", () => {
  const objects = (keys: readonly string[]): StoredObject[] =>
    keys.map((key) => ({ key, kind: 'file', size: 1 }));
  // Where UTF-16 and UTF-8 disagree: surrogates beside U+E000 to U+FFFF.
  const letter = fc.constantFrom('a', '/', '.', '\u{1f600}', '\u{10ffff}', '\ue000', '\uff0e', '\ud7ff', 'é');
  const names = fc.uniqueArray(
    fc.array(letter, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')),
  );

  it('comes out as UTF-8 order, however it is cut into pages', () => {
    fc.assert(
      fc.property(
        names,
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom('', 'p/\u{1f600}/'),
        (keys, size, prefix) => {
          const inAzure = keys.map((key) => prefix + key).sort();
          const order = new Utf8Reorder(prefix.length);
          const out: string[] = [];
          for (let start = 0; start < inAzure.length; start += size) {
            out.push(...order.push(objects(inAzure.slice(start, start + size))).map((object) => object.key));
          }
          out.push(...order.finish().map((object) => object.key));
          assert.deepEqual(out, inUtf8Order(inAzure));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('holds back only what may have to wait', () => {
    const order = new Utf8Reorder(0);
    const push = (...keys: string[]) => order.push(objects(keys)).map((object) => object.key);
    assert.deepEqual(push('a', 'b'), ['a', 'b']);
    assert.deepEqual(push('x/\u{1f600}', 'x/\u{1f601}'), []);
    assert.deepEqual(push('x/\uff0e'), ['x/\uff0e']);
    assert.deepEqual(push('y'), ['x/\u{1f600}', 'x/\u{1f601}', 'y']);
    assert.deepEqual(order.finish(), []);
  });

  it('is given up, not waited for, when too much would have to be held', () => {
    const order = new Utf8Reorder(0);
    let out = 0;
    for (let page = 0; page < 30; page++) {
      const keys = Array.from({ length: 5000 }, (_, index) => `\u{1f600}${page * 5000 + index}`);
      out += order.push(objects(keys)).length;
    }
    assert.ok(out >= 100_000, `${out} of 150,000 went out`);
    assert.equal(out + order.finish().length, 150_000);
  });
});

describe('times in metadata', () => {
  it('come back to the nanosecond', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -62_135_596_800_000_000_000n, max: 253_402_300_799_999_999_999n }),
        (time) => {
          const text = formatTime(time);
          assert.match(text!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
          assert.equal(parseTime(text), time);
        },
      ),
    );
  });

  it('that make no sense are none', () => {
    for (const text of ['', 'yesterday', '2023-13-40T00:00:00Z', '2023-11-14T22:13:20', '1700000000.5']) {
      assert.equal(parseTime(text), undefined, text);
    }
    assert.equal(formatTime(10n ** 30n), undefined);
  });
});
