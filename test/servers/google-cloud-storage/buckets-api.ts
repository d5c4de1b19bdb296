/** The methods of buckets: https://cloud.google.com/storage/docs/json_api/v1/buckets */

import { ApiError, invalid } from './api-error.js';
import { Bucket } from './buckets.js';
import { type Answer, type Call, jsonAnswer, numberParameter, readJson, type ServerState } from './call.js';
import { bucketOf } from './objects.js';

const WRITABLE = [
  'name',
  'location',
  'storageClass',
  'versioning',
  'iamConfiguration',
  'retentionPolicy',
  'labels',
];

export function listBuckets(state: ServerState, call: Call): Answer {
  confirmProject(state, call);
  const limit = Math.min(Number(numberParameter(call, 'maxResults') ?? 1000n), 1000);
  const after = call.query.get('pageToken') ?? '';
  const names = [...state.buckets.keys()].sort().filter((name) => name > after);
  const page = names.slice(0, limit);
  return jsonAnswer(call, {
    kind: 'storage#buckets',
    items: page.map((name) => resource(state.buckets.get(name)!)),
    nextPageToken: names.length > limit ? page.at(-1) : undefined,
  });
}

export function insertBucket(state: ServerState, call: Call): Answer {
  confirmProject(state, call);
  const raw = readJson(call.body.toString(), WRITABLE);
  const name = raw.name;
  if (typeof name !== 'string' || !/^(?=.{3,222}$)[a-z0-9][a-z0-9._-]*[a-z0-9]$/.test(name)) {
    throw invalid(`Invalid bucket name: '${String(name)}'`, 'name');
  }
  const taken = state.buckets.get(name);
  if (taken !== undefined) {
    throw new ApiError(
      409,
      'conflict',
      taken.project === state.projectId
        ? 'Your previous request to create the named bucket succeeded and you already own it.'
        : 'The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.',
    );
  }
  const location = typeof raw.location === 'string' ? raw.location : 'US';
  if (!/^(US|EU|ASIA|[A-Z]+-[A-Z]+\d+)$/.test(location)) {
    throw invalid(`The specified location constraint is not valid: ${location}`);
  }
  const bucket = new Bucket(name, state.projectId, location, call.now);
  apply(bucket, raw);
  state.buckets.set(name, bucket);
  return jsonAnswer(call, resource(bucket));
}

export function getBucket(state: ServerState, call: Call): Answer {
  return jsonAnswer(call, resource(bucketOf(state, call)));
}

export function patchBucket(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  apply(bucket, readJson(call.body.toString(), WRITABLE));
  return jsonAnswer(call, resource(bucket));
}

interface Writable {
  storageClass?: string;
  versioning?: { enabled?: boolean };
  iamConfiguration?: { uniformBucketLevelAccess?: { enabled?: boolean } };
  retentionPolicy?: { retentionPeriod?: string | number };
}

function apply(bucket: Bucket, raw: Writable): void {
  bucket.storageClass = raw.storageClass ?? bucket.storageClass;
  bucket.versioning = raw.versioning?.enabled ?? bucket.versioning;
  bucket.uniformAccess = raw.iamConfiguration?.uniformBucketLevelAccess?.enabled ?? bucket.uniformAccess;
  bucket.retentionSeconds = Number(raw.retentionPolicy?.retentionPeriod ?? bucket.retentionSeconds);
}

function confirmProject(state: ServerState, call: Call): void {
  const project = call.query.get('project');
  if (project === null || project === '') {
    throw new ApiError(400, 'required', 'Required parameter: project', { location: 'project' });
  }
  if (project !== state.projectId) throw new ApiError(400, 'invalid', `Unknown project id: ${project}`);
}

function resource(bucket: Bucket): Record<string, unknown> {
  return {
    kind: 'storage#bucket',
    id: bucket.name,
    name: bucket.name,
    location: bucket.location,
    storageClass: bucket.storageClass,
    timeCreated: new Date(bucket.timeCreated).toISOString(),
    updated: new Date(bucket.timeCreated).toISOString(),
    metageneration: '1',
    versioning: bucket.versioning ? { enabled: true } : undefined,
    iamConfiguration: { uniformBucketLevelAccess: { enabled: bucket.uniformAccess } },
    retentionPolicy:
      bucket.retentionSeconds === 0 ? undefined : { retentionPeriod: String(bucket.retentionSeconds) },
  };
}
