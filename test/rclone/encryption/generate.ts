/**
 * Makes the vectors beside this file by running rclone: `npx tsx test/rclone/encryption/generate.ts`.
 * The nonces of contents are rclone's own, random ones, so that each run gives other vectors of the same worth.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CryptRemote, rcloneVersion, type Secrets } from './crypt-remote.js';
import { pattern } from './pattern.js';

export interface NameVector extends Secrets {
  filenameEncryption: boolean;
  kind: 'file' | 'folder';
  /** Standard path. */
  plain: string;
  stored: string;
}

/** A stored path and what rclone makes of it: null where it can't decrypt it. */
export interface StoredNameVector extends Secrets {
  filenameEncryption: boolean;
  stored: string;
  plain: string | null;
}

export interface ContentVector extends Secrets {
  seed: string;
  size: number;
  /** Hexadecimal. */
  nonce: string;
  encryptedSize: number;
  /** SHA-256 of the encrypted file, hexadecimal. */
  sha256: string;
  /** All of it, base64, where it is small. */
  encrypted?: string;
}

export interface Vectors {
  rclone: string;
  names: NameVector[];
  storedNames: StoredNameVector[];
  contents: ContentVector[];
}

const SECRETS: Secrets[] = [
  { password: 'correct horse battery staple', salt: '' },
  { password: 'p', salt: 'NaCl' },
  { password: 'Grüße, 世界 🔐', salt: ' leading and trailing blanks ' },
];

const NAMES = [
  'a',
  '1',
  'photo.jpg',
  'Photo.JPG',
  'IMG_20240229_120000.heic',
  'fifteen-bytes.t',
  'sixteen-bytes.tx',
  'seventeen-bytes.t',
  'thirty-one-bytes-long-name.text',
  'thirty-two-bytes-long-name.textt',
  'thirty-three-bytes-long-name.text',
  ' ',
  ' leading blank',
  'trailing blank ',
  '.hidden',
  '..double',
  '...',
  '-dash',
  '--help',
  'no extension',
  'many.dots.in.name.tar.gz',
  'a.bin',
  '.bin',
  'x.bin.bin',
  'ümlaut.txt',
  'u\u0308mlaut.txt',
  '日本語のファイル名.txt',
  '写真/2024/夏.jpg',
  '🎉🎊.png',
  '👩‍👩‍👧‍👦 family.jpg',
  'עברית.txt',
  'zero\u200bwidth',
  'quote\u201b\u201b.txt',
  '：＊？＂＜＞｜＼',
  '␀␁␡',
  'semi;colon & amp "quotes" \'single\' `tick` $HOME %41 #hash',
  'back\\slash',
  'CON',
  'aux.txt',
  'name~1',
  'a'.repeat(47),
  'b'.repeat(48),
  'c'.repeat(127),
  'd'.repeat(143),
  'e'.repeat(144),
  'f'.repeat(255),
  '世'.repeat(47),
  'folder/file.txt',
  'a/b/c/d/e/f/g.txt',
  'same/same/same',
  'Documents/Taxes 2023/receipt-0001.pdf',
  'photo-v2024-02-29-120000-000.jpg',
  'photo-v2023-02-29-120000-000.jpg',
  'photo-v2024-12-31-235959-999',
  'photo-v2024-13-01-000000-000.jpg',
  'photo-v2024-01-01-240000-000.jpg',
  'photo-v2024-01-01-000060-000.jpg',
  'photo-v0000-01-01-000000-000.jpg',
  'archive-v2024-01-01-000000-000.tar.gz',
  '.profile-v2024-01-01-000000-000',
  'middle-v2024-01-01-000000-000-more.txt',
  'twice-v2024-01-01-000000-000-v2024-01-02-000000-000.txt',
  'dir-v2024-01-01-000000-000/file.txt',
  '-v2024-01-01-000000-000',
];

const OTHER_STORED_NAMES = [
  'readme.txt',
  'photo.jpg',
  'abcdefgh',
  'v',
  '0123456789abcdefghijklmnop',
  '0123456789abcdefghijklmnopqrstuv',
  '!',
  'plain.bin',
  '.bin',
  'plain.BIN',
  'a/b.bin',
  'a.b/c',
  'x-v2024-01-01-000000-000.bin',
];

const SIZES = [
  0, 1, 15, 16, 17, 32, 100, 1000, 4096, 65519, 65520, 65535, 65536, 65537, 65552, 65568, 131071, 131072,
  131073, 196608, 262143, 262144, 262145, 1_000_000, 1048576, 3_000_017, 8_388_608,
];

function nameVectors(secrets: Secrets, filenameEncryption: boolean): [NameVector[], StoredNameVector[]] {
  const remote = new CryptRemote(secrets, filenameEncryption);
  try {
    const stored = remote.encryptNames(NAMES);
    const names = NAMES.map(
      (plain, index): NameVector => ({
        ...secrets,
        filenameEncryption,
        kind: 'file',
        plain,
        stored: stored[index]!,
      }),
    );
    names.push(...folderVectors(remote, secrets, filenameEncryption));
    if (filenameEncryption) names.push(...invalidUtf8Vectors(remote, secrets));
    const upper = stored.slice(0, 10).map((name) => name.toUpperCase());
    const cut = stored.slice(0, 5).map((name) => name.slice(0, -1));
    const others = [...OTHER_STORED_NAMES, ...(filenameEncryption ? [...upper, ...cut] : [])];
    const plain = remote.decryptNames(others);
    const storedNames = others.map(
      (name, index): StoredNameVector => ({
        ...secrets,
        filenameEncryption,
        stored: name,
        plain: plain[index] === 'Failed to decrypt' ? null : plain[index]!,
      }),
    );
    return [names, storedNames];
  } finally {
    remote.remove();
  }
}

/** Folders, as rclone makes them in the store. */
function folderVectors(remote: CryptRemote, secrets: Secrets, filenameEncryption: boolean): NameVector[] {
  return ['Pictures', 'été 2024', 'with.dot'].map((plain) => {
    const before = new Set(readdirSync(remote.stored));
    remote.run(['mkdir', `crypt:${plain}`]);
    const stored = readdirSync(remote.stored).find((name) => !before.has(name))!;
    return { ...secrets, filenameEncryption, kind: 'folder', plain, stored };
  });
}

/** Local names that are no valid UTF-8; `plain` has our standard way of writing the byte. */
function invalidUtf8Vectors(remote: CryptRemote, secrets: Secrets): NameVector[] {
  const names: [Buffer, string][] = [
    [Buffer.from('latin1-\xfc.txt', 'latin1'), 'latin1-‛FC.txt'],
    [Buffer.from([0x80, 0x61]), '‛80a'],
  ];
  return names.map(([bytes, plain], index) => {
    const source = join(remote.folder, `source-${index}`);
    mkdirSync(source);
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), bytes]), '');
    remote.run(['sync', source, 'crypt:invalid']);
    const [folder] = remote.encryptNames(['invalid/x'])[0]!.split('/');
    const [stored] = readdirSync(join(remote.stored, folder!));
    return { ...secrets, filenameEncryption: true, kind: 'file', plain, stored: stored! };
  });
}

function contentVectors(secrets: Secrets): ContentVector[] {
  const remote = new CryptRemote(secrets, false);
  const vectors: ContentVector[] = [];
  try {
    for (const size of SIZES) {
      const seed = `content of ${size} bytes`;
      const file = join(remote.folder, 'plain');
      writeFileSync(file, Buffer.concat([...pattern(seed, size)]));
      remote.store(file, `content-${size}`);
      const stored = join(remote.stored, `content-${size}.bin`);
      const encrypted = readFileSync(stored);
      vectors.push({
        ...secrets,
        seed,
        size,
        nonce: encrypted.subarray(8, 32).toString('hex'),
        encryptedSize: encrypted.length,
        sha256: createHash('sha256').update(encrypted).digest('hex'),
        encrypted: size <= 100 ? encrypted.toString('base64') : undefined,
      });
    }
    return vectors;
  } finally {
    remote.remove();
  }
}

function main(): void {
  const version = rcloneVersion();
  if (version === undefined) throw new Error('rclone is not installed');
  const vectors: Vectors = { rclone: version, names: [], storedNames: [], contents: [] };
  for (const secrets of SECRETS) {
    for (const filenameEncryption of [true, false]) {
      const [names, storedNames] = nameVectors(secrets, filenameEncryption);
      vectors.names.push(...names);
      vectors.storedNames.push(...storedNames);
    }
  }
  vectors.contents.push(...contentVectors(SECRETS[0]!), ...contentVectors(SECRETS[2]!));
  writeFileSync(join(__dirname, 'vectors.json'), `${JSON.stringify(vectors, null, 2)}\n`);
  console.log(
    `${vectors.names.length} names, ${vectors.storedNames.length} stored names, ${vectors.contents.length} contents`,
  );
}

main();
