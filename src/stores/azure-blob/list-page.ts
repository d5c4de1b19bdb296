/**
 * One page of List Blobs, read straight from its XML: a general parser takes several times as long, and the listing is
 * all there is to do in a run where nothing changed.
 * https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body
 */

import { CloudSyncError } from '../../errors.js';
import { type BlobProperties, decodeValue } from './objects.js';

export interface ListPage {
  blobs: BlobProperties[];
  /** Only with a delimiter: what lies below, with the delimiter at its end. */
  prefixes: string[];
  /** '' at the end of the listing. */
  nextMarker: string;
}

/** Throws BAD_ANSWER where the page is not whole: a page that was cut must never look like a short one. */
export function parseListPage(xml: string): ListPage {
  if (!xml.trimEnd().endsWith('</EnumerationResults>')) {
    throw new CloudSyncError('BAD_ANSWER', 'The listing that Azure answered is not complete');
  }
  const page: ListPage = { blobs: [], prefixes: [], nextMarker: '' };
  let blob: BlobProperties | undefined;
  let inPrefix = false;
  let inMetadata = false;
  let position = xml.indexOf('<Blobs');
  if (position === -1) position = 0;
  for (;;) {
    const open = xml.indexOf('<', position);
    if (open === -1) break;
    const close = xml.indexOf('>', open);
    if (close === -1) break;
    position = close + 1;
    if (xml.charCodeAt(open + 1) === SLASH) {
      const name = xml.slice(open + 2, close);
      if (name === 'Metadata') inMetadata = false;
      else if (name === 'BlobPrefix') inPrefix = false;
      else if (name === 'Blob' && blob !== undefined) {
        if (blob.key === '') throw senseless('a blob without a name');
        if (!Number.isSafeInteger(blob.size)) throw senseless('a blob whose size is no number');
        page.blobs.push(blob);
        blob = undefined;
      }
      continue;
    }
    // `<Name Encoded="true">`, `<Tags />`
    const isEmpty = xml.charCodeAt(close - 1) === SLASH;
    const tag = xml.slice(open + 1, isEmpty ? close - 1 : close);
    const space = tag.indexOf(' ');
    const name = space === -1 ? tag : tag.slice(0, space);
    if (name === 'Blob') {
      if (blob !== undefined) throw senseless('a blob that does not end');
      blob = { key: '', size: 0, metadata: {} };
      continue;
    }
    if (name === 'BlobPrefix') inPrefix = true;
    if (isEmpty) continue;
    if (name === 'Metadata') inMetadata = true;
    const end = xml.indexOf('<', position);
    // Only a leaf has its own end right behind its text.
    if (end === -1 || xml.charCodeAt(end + 1) !== SLASH) continue;
    const raw = xml.slice(position, end);
    if (inMetadata && blob !== undefined && name !== 'Metadata') {
      // Stands for metadata whose name breaks the rules; its text is that name, the value isn't told.
      if (name === 'x-ms-invalid-name') continue;
      blob.metadata[name.toLowerCase()] = decodeValue(unescapeXml(raw));
    } else if (name === 'NextMarker') {
      page.nextMarker = unescapeXml(raw);
    } else if (name === 'Name') {
      const text = unescapeXml(raw);
      const key = space !== -1 && /Encoded="true"/i.test(tag) ? decodeName(text) : text;
      if (inPrefix) page.prefixes.push(key);
      else if (blob !== undefined) blob.key = key;
    } else if (blob !== undefined) {
      setProperty(blob, name, raw);
    }
  }
  if (blob !== undefined) throw senseless('a blob that does not end');
  return page;
}

function senseless(what: string): CloudSyncError {
  return new CloudSyncError('BAD_ANSWER', `The listing that Azure answers holds ${what}`);
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw senseless('a name that is not encoded as it says');
  }
}

const SLASH = 47;

function setProperty(blob: BlobProperties, name: string, raw: string): void {
  switch (name) {
    case 'Content-Length':
      blob.size = /^\d+$/.test(raw) ? Number(raw) : Number.NaN;
      break;
    case 'Last-Modified':
      blob.lastModified = raw;
      break;
    case 'Etag':
      blob.etag = unescapeXml(raw);
      break;
    case 'Content-MD5':
      blob.contentMd5 = unescapeXml(raw);
      break;
    case 'AccessTier':
      blob.accessTier = raw;
      break;
    case 'ArchiveStatus':
      blob.archiveStatus = raw;
      break;
    case 'ResourceType':
      blob.resourceType = raw;
      break;
    case 'VersionId':
      if (raw !== '') blob.versionId = unescapeXml(raw);
      break;
    case 'IsCurrentVersion':
      blob.isCurrentVersion = raw === 'true';
      break;
    case 'BlobType':
      blob.blobType = raw;
      break;
    case 'Creation-Time':
      blob.creationTime = raw;
      break;
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));/g, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return isCharacter(code) ? String.fromCodePoint(code) : whole;
  });
}

/** XML 1.0, 2.2: half a pair is none. */
function isCharacter(code: number): boolean {
  return code < 0xd800 || (code > 0xdfff && code <= 0x10ffff);
}
