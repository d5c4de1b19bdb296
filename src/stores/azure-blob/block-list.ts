/**
 * The lists of a blob's blocks: those of which it consists, those that wait, and the commit that turns the latter into the
 * former. https://learn.microsoft.com/rest/api/storageservices/get-block-list and put-block-list
 */

import { createHash } from 'node:crypto';
import { CloudSyncError, hasCode } from '../../errors.js';
import type { WriteOptions } from '../store.js';
import { attributeHeaders, blobPath, conditionHeaders, hexToBase64 } from './objects.js';
import type { AzureAnswer, AzureTransport } from './transport.js';

/** Where a blob is. */
export interface BlobPlace {
  transport: AzureTransport;
  bucket: string;
}

export interface Block {
  /** The id, Base64. */
  name: string;
  /** Bytes. */
  size: number;
}

/** Undefined where there is neither a blob nor a block. */
export async function getBlockList(
  { transport, bucket }: BlobPlace,
  key: string,
  type: 'committed' | 'uncommitted',
  options: { versionId?: string; signal?: AbortSignal } = {},
): Promise<Block[] | undefined> {
  let blocks: Block[] = [];
  try {
    await transport.send({
      kind: 'GET',
      method: 'GET',
      path: blobPath(bucket, key),
      query: {
        comp: 'blocklist',
        blocklisttype: type,
        ...(options.versionId === undefined ? {} : { versionid: options.versionId }),
      },
      bucket,
      key,
      examine: (answer) => {
        blocks = parseBlocks(answer.body.toString('utf8'));
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
  return blocks;
}

function parseBlocks(xml: string): Block[] {
  if (!/<\/BlockList>\s*$|<BlockList\s*\/>\s*$/.test(xml)) {
    throw new CloudSyncError('BAD_ANSWER', 'The list of blocks that Azure answered is not complete');
  }
  return [...xml.matchAll(/<Name>([^<]*)<\/Name>\s*<Size>(\d+)<\/Size>/g)].map(([, name, size]) => ({
    name: name!,
    size: Number(size),
  }));
}

/** Makes the blob of these blocks, in this order; `folder`: of none, marked as a folder. */
export async function putBlockList(
  { transport, bucket }: BlobPlace,
  key: string,
  ids: readonly string[],
  options: Omit<WriteOptions, 'beforeCommit' | 'durable'> & { folder?: boolean },
): Promise<AzureAnswer> {
  const { hashes, signal, folder = false } = options;
  const latest = ids.map((id) => `<Latest>${id}</Latest>`).join('');
  const body = Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${latest}</BlockList>`, 'utf8');
  return await transport.send({
    kind: 'PUT',
    method: 'PUT',
    path: blobPath(bucket, key),
    query: { comp: 'blocklist' },
    headers: {
      ...attributeHeaders(options, { folder }),
      ...conditionHeaders(options),
      ...(hashes?.md5 === undefined ? {} : { 'x-ms-blob-content-md5': hexToBase64(hashes.md5) }),
      // Of the list itself, so that it can't be changed on its way either.
      'content-md5': createHash('md5').update(body).digest('base64'),
    },
    body,
    bucket,
    key,
    ...(signal === undefined ? {} : { signal }),
  });
}
