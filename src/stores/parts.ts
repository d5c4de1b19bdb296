/** Cutting a content into the parts of an upload. */

import type { Content, Upload } from './store.js';

/** `length` bytes of `content` from `offset`, without reading any. */
export function sliceContent(content: Content, offset: number, length: number): Content {
  if (offset === 0 && length === content.size) return content;
  return {
    size: length,
    bytes: content.bytes?.subarray(offset, offset + length),
    read: (from = 0, count = length - from) => content.read(offset + from, count),
    ...(content.readInto === undefined
      ? {}
      : { readInto: (target: Uint8Array, from: number) => content.readInto!(target, offset + from) }),
  };
}

/** Which bytes of a content of `size` bytes part `number` is made of. Parts in a row may overlap (encrypted ones do). */
export function partRange(upload: Upload, size: number, number: number): { offset: number; length: number } {
  const range = upload.partRange?.(number);
  if (range !== undefined) return range;
  const offset = (number - 1) * upload.state.partSize;
  return { offset, length: Math.min(upload.state.partSize, size - offset) };
}

/** What of the whole `content` goes to `upload.sendPart(number, …)`; parts are numbered from 1. */
export function partContent(upload: Upload, content: Content, number: number): Content {
  const { offset, length } = partRange(upload, content.size, number);
  return sliceContent(content, offset, length);
}

/** The bytes of part `number` as the store keeps them: what the hashes of an arrived part are compared with. */
export function storedPartContent(upload: Upload, content: Content, number: number): Content {
  const part = partContent(upload, content, number);
  return upload.storedPart?.(number, part) ?? part;
}
