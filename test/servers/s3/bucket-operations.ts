import { type Answer, emptyAnswer, xmlAnswer } from './answer.js';
import { Bucket, isBucketName } from './buckets.js';
import { xmlDate } from './clock.js';
import { bucketOf, type Context, documentOf } from './context.js';
import { invalidArgument, s3Error } from './s3-error.js';
import { compareUtf8 } from './utf8-order.js';
import { childText, element, onlyChildren, parseXml } from './xml.js';

const OWNER_ID = '75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a';

export function listBuckets(context: Context): Answer {
  const { state, request } = context;
  const { query } = request;
  const prefix = query.get('prefix') ?? '';
  const region = query.get('bucket-region');
  const after = Buffer.from(query.get('continuation-token') ?? '', 'base64url').toString();
  const text = query.get('max-buckets');
  const max = text === undefined ? Number.POSITIVE_INFINITY : Number(text);
  if (text !== undefined && (!Number.isInteger(max) || max < 1 || max > 10000)) {
    throw invalidArgument('max-buckets', text, 'Argument max-buckets must be an integer between 1 and 10000');
  }
  const found = [...state.buckets.values()]
    .filter(({ name }) => name.startsWith(prefix) && name > after)
    .filter((bucket) => region === undefined || bucket.region === region)
    .sort((a, b) => compareUtf8(a.name, b.name));
  const page = found.slice(0, max);
  const buckets = page.map(
    (bucket) =>
      `<Bucket>${element('Name', bucket.name)}${element('CreationDate', xmlDate(bucket.createdAt))}${element('BucketRegion', bucket.region)}</Bucket>`,
  );
  const next =
    found.length > page.length ? Buffer.from(page.at(-1)?.name ?? '').toString('base64url') : undefined;
  return xmlAnswer(
    'ListAllMyBucketsResult',
    `<Owner><ID>${OWNER_ID}</ID></Owner><Buckets>${buckets.join('')}</Buckets>${element('ContinuationToken', next)}`,
  );
}

export function createBucket(context: Context): Answer {
  const { state, request } = context;
  const name = request.bucket;
  if (!isBucketName(name)) throw s3Error('InvalidBucketName', { details: { BucketName: name } });
  const document = documentOf(context);
  let region = 'us-east-1';
  if (document.length > 0) {
    const root = parseXml(document, 'CreateBucketConfiguration');
    onlyChildren(root, ['LocationConstraint']);
    const constraint = childText(root, 'LocationConstraint');
    if (constraint === 'us-east-1') throw s3Error('InvalidLocationConstraint');
    region = constraint ?? region;
  }
  // "... Buckets in other regions than us-east-1 need a LocationConstraint, and its own region's endpoint."
  if (region !== state.region && state.region !== 'us-east-1')
    throw s3Error('IllegalLocationConstraintException');
  const existing = state.buckets.get(name);
  if (existing !== undefined) {
    // "In us-east-1 ... returns 200 OK", which would hide a mistake; everywhere else it is this error.
    throw s3Error('BucketAlreadyOwnedByYou', { details: { BucketName: name } });
  }
  const bucket = new Bucket(name, region, state.clock.now());
  state.buckets.set(name, bucket);
  return emptyAnswer(200, { location: `/${name}` });
}

export function headBucket(context: Context): Answer {
  const bucket = bucketOf(context);
  return emptyAnswer(200, { 'x-amz-bucket-region': bucket.region, 'content-type': 'application/xml' });
}

export function deleteBucket(context: Context): Answer {
  const bucket = bucketOf(context);
  if (bucket.keys.size > 0) throw s3Error('BucketNotEmpty', { details: { BucketName: bucket.name } });
  for (const upload of bucket.uploads.values()) bucket.dropUpload(upload);
  context.state.buckets.delete(bucket.name);
  return emptyAnswer(204);
}

export function getBucketLocation(context: Context): Answer {
  const { region } = bucketOf(context);
  // "Buckets in Region us-east-1 have a LocationConstraint of null."
  return xmlAnswer('LocationConstraint', region === 'us-east-1' ? '' : region);
}

export function getBucketVersioning(context: Context): Answer {
  return xmlAnswer('VersioningConfiguration', element('Status', bucketOf(context).versioning));
}

export function putBucketVersioning(context: Context): Answer {
  const bucket = bucketOf(context);
  const root = parseXml(documentOf(context), 'VersioningConfiguration');
  onlyChildren(root, ['Status']);
  const status = childText(root, 'Status');
  if (status !== 'Enabled' && status !== 'Suspended')
    throw s3Error('IllegalVersioningConfigurationException');
  bucket.setVersioning(status);
  return emptyAnswer(200);
}
