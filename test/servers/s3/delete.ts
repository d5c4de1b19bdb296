import { type Answer, emptyAnswer, xmlAnswer } from './answer.js';
import { type Bucket, deleteMarker } from './buckets.js';
import { listsEtag } from './conditions.js';
import { bucketOf, type Context, documentOf } from './context.js';
import { isVersionId } from './read.js';
import { header } from './request.js';
import { invalidArgument, S3Error, s3Error } from './s3-error.js';
import { childOf, childText, element, onlyChildren, parseXml } from './xml.js';

interface Deleted {
  /** A delete marker was made or removed. */
  deleteMarker: boolean;
  /** Version that was removed, or of the marker that was made. */
  versionId: string | undefined;
}

/** "Deleting object versions from a versioning-enabled bucket" and its neighbours. */
function deleteOne(
  context: Context,
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
  ifMatch: string | undefined,
): Deleted {
  const latest = bucket.latest(key);
  if (ifMatch !== undefined && !context.faults.has('ignore-conditions')) {
    // "Conditional delete evaluations only apply to the current version of the object."
    if (versionId !== undefined) throw s3Error('NotImplemented', { details: { Header: 'If-Match' } });
    if (latest === undefined) throw s3Error('NoSuchKey', { details: { Key: key } });
    if (latest.isDeleteMarker || !listsEtag(ifMatch, latest.etag))
      throw s3Error('PreconditionFailed', { details: { Condition: 'If-Match' } });
  }
  if (versionId !== undefined) {
    if (!isVersionId(versionId))
      throw invalidArgument('versionId', versionId, 'Invalid version id specified');
    const isMarker = bucket.version(key, versionId)?.isDeleteMarker === true;
    bucket.remove(key, versionId);
    return { deleteMarker: isMarker, versionId };
  }
  if (bucket.versioning === undefined) {
    if (latest !== undefined) bucket.remove(key, latest.versionId);
    return { deleteMarker: false, versionId: undefined };
  }
  const marker = deleteMarker(bucket, key, context.state.clock);
  bucket.add(marker);
  return { deleteMarker: true, versionId: marker.versionId };
}

export function deleteObject(context: Context): Answer {
  const { request } = context;
  const bucket = bucketOf(context);
  const versionId = request.query.get('versionId');
  const done = deleteOne(context, bucket, request.key, versionId, header(request, 'if-match'));
  const headers: Record<string, string> = {};
  if (done.deleteMarker) headers['x-amz-delete-marker'] = 'true';
  if (done.versionId !== undefined) headers['x-amz-version-id'] = done.versionId;
  return emptyAnswer(204, headers);
}

interface DeleteEntry {
  key: string;
  versionId: string | undefined;
  etag: string | undefined;
}

function parseDelete(document: Buffer): { entries: DeleteEntry[]; quiet: boolean } {
  const root = parseXml(document, 'Delete');
  onlyChildren(root, ['Object', 'Quiet']);
  const quiet = childText(root, 'Quiet') ?? 'false';
  if (quiet !== 'true' && quiet !== 'false') throw s3Error('MalformedXML');
  const entries = root.children
    .filter((child) => child.name === 'Object')
    .map((object) => {
      onlyChildren(object, ['Key', 'VersionId', 'ETag']);
      const key = childOf(object, 'Key')?.text;
      if (key === undefined || key === '') throw s3Error('MalformedXML');
      return { key, versionId: childText(object, 'VersionId'), etag: childText(object, 'ETag') };
    });
  if (entries.length === 0 || entries.length > 1000) throw s3Error('MalformedXML');
  return { entries, quiet: quiet === 'true' };
}

/** "DeleteObjects": 1,000 keys at most, an error per key inside a 200. */
export function deleteObjects(context: Context): Answer {
  const { request, body, faults } = context;
  const bucket = bucketOf(context);
  if (!body?.hasMd5 && body?.checksum === undefined) {
    throw s3Error('InvalidRequest', { message: 'Missing required header for this request: Content-MD5' });
  }
  const { entries, quiet } = parseDelete(documentOf(context));
  const fault = faults.find('error-in-ok');
  const allows = request.credential?.allows;
  let text = '';
  for (const { key, versionId, etag } of entries) {
    const names = element('Key', key) + element('VersionId', versionId);
    try {
      if (fault !== undefined && (fault.keys?.(key) ?? true))
        throw new S3Error(fault.code, fault.message === undefined ? {} : { message: fault.message });
      if (allows !== undefined && !allows({ ...request, operation: 'DeleteObject', method: 'DELETE', key }))
        throw s3Error('AccessDenied');
      const done = deleteOne(context, bucket, key, versionId, etag);
      if (quiet) continue;
      const marker = done.deleteMarker
        ? element('DeleteMarker', true) + element('DeleteMarkerVersionId', done.versionId)
        : '';
      text += `<Deleted>${names}${marker}</Deleted>`;
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      text += `<Error>${names}${element('Code', error.code)}${element('Message', error.message)}</Error>`;
    }
  }
  return xmlAnswer('DeleteResult', text);
}
