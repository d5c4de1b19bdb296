import type { Answer } from './answer.js';
import { restoreObject } from './archive.js';
import * as buckets from './bucket-operations.js';
import type { Context } from './context.js';
import { deleteObject, deleteObjects } from './delete.js';
import { listObjects, listObjectsV2, listObjectVersions } from './listing.js';
import * as multipart from './multipart.js';
import type { Operation } from './operations.js';
import { getObject, getObjectAttributes } from './read.js';
import { copyObject, putObject } from './write.js';

/** Who does what. */
export const HANDLERS: Record<Operation, (context: Context) => Answer> = {
  ListBuckets: buckets.listBuckets,
  CreateBucket: buckets.createBucket,
  HeadBucket: buckets.headBucket,
  DeleteBucket: buckets.deleteBucket,
  GetBucketLocation: buckets.getBucketLocation,
  GetBucketVersioning: buckets.getBucketVersioning,
  PutBucketVersioning: buckets.putBucketVersioning,
  ListObjects: listObjects,
  ListObjectsV2: listObjectsV2,
  ListObjectVersions: listObjectVersions,
  ListMultipartUploads: multipart.listMultipartUploads,
  DeleteObjects: deleteObjects,
  GetObject: getObject,
  HeadObject: getObject,
  GetObjectAttributes: getObjectAttributes,
  PutObject: putObject,
  CopyObject: copyObject,
  DeleteObject: deleteObject,
  RestoreObject: restoreObject,
  CreateMultipartUpload: multipart.createMultipartUpload,
  UploadPart: multipart.uploadPart,
  UploadPartCopy: multipart.uploadPartCopy,
  CompleteMultipartUpload: multipart.completeMultipartUpload,
  AbortMultipartUpload: multipart.abortMultipartUpload,
  ListParts: multipart.listParts,
};
