import assert from 'node:assert/strict';
import { parseListPage } from '../../src/stores/s3/page.js';

const parse = (xml: string) => parseListPage(Buffer.from(xml));

describe('S3 listing page', () => {
  it('is read as Amazon writes it', () => {
    const page = parse(
      `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><NextContinuationToken>1/a+b=&amp;</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a/with+space%2Bplus%25%C3%BC%0A</Key><LastModified>2024-02-29T23:59:58.123Z</LastModified><ETag>&quot;0cc175b9c0f1b6a831c399e269772661&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>5497558138880</Size><StorageClass>STANDARD</StorageClass></Contents><Contents><Key>b</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;x-2&quot;</ETag><Size>0</Size><Owner><ID>Key</ID><DisplayName>Size</DisplayName></Owner><StorageClass>GLACIER</StorageClass></Contents></ListBucketResult>`,
    );
    assert.deepEqual(page.entries, [
      {
        key: 'a/with space+plus%\u00fc\n',
        kind: 'file',
        size: 5497558138880,
        storedTime: Date.UTC(2024, 1, 29, 23, 59, 58, 123),
        etag: '0cc175b9c0f1b6a831c399e269772661',
        storageClass: 'STANDARD',
      },
      {
        key: 'b',
        kind: 'file',
        size: 0,
        storedTime: Date.UTC(2024, 0, 1),
        etag: 'x-2',
        storageClass: 'GLACIER',
        archive: 'frozen',
      },
    ]);
    assert.equal(page.truncated, true);
    assert.equal(page.nextToken, '1/a+b=&');
  });

  it('is read where the server does not encode names, indents, or leaves things out', () => {
    const page = parse(`
      <ListBucketResult>
        <IsTruncated>false</IsTruncated>
        <Contents>
          <Key>100%25 + &lt;&amp;&#13;&quot;</Key>
          <LastModified>2024-01-01T00:00:00Z</LastModified>
          <ETag>"bare"</ETag>
          <Size>7</Size>
          <Owner/>
          <StorageClass/>
        </Contents>
        <Contents><Key>none</Key><Size>1</Size></Contents>
        <CommonPrefixes><Prefix>folder/</Prefix></CommonPrefixes>
        <CommonPrefixes>
          <Prefix>other folder/</Prefix>
        </CommonPrefixes>
      </ListBucketResult>`);
    assert.deepEqual(
      page.entries.map(({ key, etag, size }) => [key, etag, size]),
      [
        ['100%25 + <&\r"', 'bare', 7],
        ['none', undefined, 1],
      ],
    );
    assert.equal(page.entries[0]?.storedTime, Date.UTC(2024, 0, 1));
    assert.deepEqual(
      page.folders.map((folder) => folder.key),
      ['folder', 'other folder'],
    );
    assert.equal(page.truncated, false);
  });

  it('says which archived objects are thawing or thawed', () => {
    const entry = (status: string) =>
      `<Contents><Key>k</Key><Size>1</Size>${status}<StorageClass>DEEP_ARCHIVE</StorageClass></Contents>`;
    const page = parse(
      `<ListBucketResult>${entry('')}${entry('<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>')}${entry(
        '<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2024-01-01T00:00:00Z</RestoreExpiryDate></RestoreStatus>',
      )}</ListBucketResult>`,
    );
    assert.deepEqual(
      page.entries.map(({ archive }) => archive),
      ['frozen', 'thawing', 'thawed'],
    );
  });

  it('keeps versions and delete markers in their order', () => {
    const page = parse(
      `<ListVersionsResult><EncodingType>url</EncodingType><NextKeyMarker>a+b</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker><IsTruncated>true</IsTruncated><DeleteMarker><Key>a</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><LastModified>2024-01-03T00:00:00.000Z</LastModified></DeleteMarker><Version><Key>a</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest><LastModified>2024-01-02T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size></Version></ListVersionsResult>`,
    );
    assert.deepEqual(page.entries, [
      {
        key: 'a',
        kind: 'file',
        size: 0,
        isDeleteMarker: true,
        versionId: 'v3',
        isLatest: true,
        storedTime: Date.UTC(2024, 0, 3),
      },
      { key: 'a', kind: 'file', size: 3, versionId: 'v2', storedTime: Date.UTC(2024, 0, 2), etag: 'e' },
    ]);
    assert.equal(page.nextKeyMarker, 'a b');
    assert.equal(page.nextVersionMarker, 'v1');
  });
});
