/** Stored objects as plain JSON and back, for what is spilled to disk: big integers and errors survive. */

import { CloudSyncError, type ErrorRecord } from '../errors.js';
import type { StoredObject } from '../stores/store.js';

type Plain = Record<string, unknown>;

export function encodeStoredObject(object: StoredObject): Plain {
  const plain: Plain = { ...object };
  if (object.modificationTime !== undefined) plain.modificationTime = String(object.modificationTime);
  if (object.identity !== undefined) {
    const { device, inode, changeTime } = object.identity;
    plain.identity = {
      ...object.identity,
      device: String(device),
      inode: String(inode),
      changeTime: String(changeTime),
    };
  }
  if (object.problem !== undefined) plain.problem = object.problem.toRecord();
  return plain;
}

export function decodeStoredObject(value: unknown): StoredObject {
  const plain = value as Plain;
  const object = { ...plain } as unknown as StoredObject;
  if (typeof plain.modificationTime === 'string') object.modificationTime = BigInt(plain.modificationTime);
  if (plain.identity !== undefined) {
    const identity = plain.identity as Record<string, string | number>;
    object.identity = {
      device: BigInt(identity.device!),
      inode: BigInt(identity.inode!),
      changeTime: BigInt(identity.changeTime!),
      mode: Number(identity.mode),
      uid: Number(identity.uid),
      gid: Number(identity.gid),
    };
  }
  if (plain.problem !== undefined) object.problem = CloudSyncError.fromRecord(plain.problem as ErrorRecord);
  return object;
}
