/** Random changes to a tree: what people and programs do to files between two runs. */

import { randomBytes } from 'node:crypto';
import type { Random } from './random.js';
import type { Side, Snapshot } from './sides.js';

/** Chosen to stress order (a, a-b, a.txt, a/x, a0; above and below the surrogates), encodings and normal forms. */
export const NAMES: readonly string[] = [
  'a',
  'a-b',
  'a.txt',
  'a0',
  'A',
  'b',
  'b.txt',
  'x\uff0e',
  '\uff0ea',
  '😀',
  '😀.txt',
  '\u00e9',
  'e\u0301',
  'sp ace',
  ' lead',
  'trail ',
  'dot.',
  'dots..',
  '%41',
  'c+d',
  '#1?&',
  'z.tmp',
];

/** The same for a place that can't tell case and normal forms apart. */
export const FOLDED_NAMES = NAMES.filter((name) => name !== 'A' && name !== 'e\u0301');

/** Contents that are all different, so that a hash tells which version of which file it is. */
let contents = 0;

export function newContent(random: Random, size?: number): Buffer {
  const kind = random.next();
  const length =
    size ??
    (kind < 0.03
      ? 0
      : kind < 0.8
        ? random.whole(10, 60)
        : kind < 0.95
          ? random.whole(5_000, 30_000)
          : random.whole(66_000, 210_000));
  if (length === 0) return Buffer.alloc(0);
  const text = `${++contents}|`.padEnd(Math.min(length, 10), '.');
  const bytes = Buffer.alloc(length, text);
  if (length > 1_000) randomBytes(512).copy(bytes, length - 600);
  return bytes;
}

export interface Editing {
  side: Side;
  random: Random;
  /** Files that the index knows: a change that keeps size and time has to be found. */
  known: ReadonlySet<string>;
  trace: (text: string) => void;
  names: readonly string[];
  /** Kinds of changes that are not made. */
  without?: readonly string[];
}

type Edit = (editing: Editing, files: Snapshot) => Promise<string | undefined>;

let clock = 1_600_000_000_000_000n;

/** Every change gets a time of its own, in whole microseconds; ns since the epoch. */
function newTime(random: Random): bigint {
  clock += BigInt(random.whole(1, 5_000_000));
  return clock * 1_000n;
}

const EDITS: Record<string, Edit> = {
  async new(editing, files) {
    const { side, random } = editing;
    const path = freePath(editing, files);
    if (path === undefined) return undefined;
    await side.put(path, newContent(random), newTime(random));
    return path;
  },
  async grow({ side, random }, files) {
    const path = anyOf(random, files);
    if (path === undefined) return undefined;
    await side.put(path, newContent(random), newTime(random));
    return path;
  },
  async sameSize({ side, random }, files) {
    const path = anyOf(random, files);
    if (path === undefined) return undefined;
    await side.put(path, newContent(random, files.get(path)!.size), newTime(random));
    return path;
  },
  async quiet({ side, random, known }, files) {
    const path = anyOf(random, files);
    if (path === undefined || !known.has(path) || files.get(path)!.size < 10) return undefined;
    const { size, time } = files.get(path)!;
    await side.put(path, newContent(random, size), time!);
    return path;
  },
  async touch({ side, random }, files) {
    const path = anyOf(random, files);
    if (path === undefined) return undefined;
    await side.touch(path, newTime(random));
    return path;
  },
  async rename(editing, files) {
    const { side, random } = editing;
    const [from, to] = [anyOf(random, files), freePath(editing, files)];
    if (from === undefined || to === undefined || to.startsWith(`${from}/`)) return undefined;
    await side.rename(from, to);
    return `${from} -> ${to}`;
  },
  async renameFolder(editing, files) {
    const { side, random } = editing;
    const folder = anyFolder(random, files);
    const to = freePath(editing, files);
    if (folder === undefined || to === undefined || `${to}/`.startsWith(`${folder}/`)) return undefined;
    await side.rename(folder, to);
    return `${folder}/ -> ${to}/`;
  },
  async swap({ side, random }, files) {
    const [one, other] = [anyOf(random, files), anyOf(random, files)];
    if (one === undefined || other === undefined || one === other) return undefined;
    const bytes = await side.read(one);
    const { time } = files.get(one)!;
    await side.put(one, await side.read(other), files.get(other)!.time!);
    await side.put(other, bytes, time!);
    return `${one} <-> ${other}`;
  },
  async remove({ side, random }, files) {
    const path = anyOf(random, files);
    if (path === undefined) return undefined;
    await side.remove(path);
    return path;
  },
  async removeFolder({ side, random }, files) {
    const folder = anyFolder(random, files);
    if (folder === undefined) return undefined;
    for (const path of files.keys()) if (path.startsWith(`${folder}/`)) await side.remove(path);
    return `${folder}/`;
  },
  async fileToFolder({ side, random, names }, files) {
    const path = anyOf(random, files);
    if (path === undefined) return undefined;
    await side.remove(path);
    const inside = `${path}/${random.pick(names)}`;
    await side.put(inside, newContent(random), newTime(random));
    return inside;
  },
  async folderToFile({ side, random }, files) {
    const folder = anyFolder(random, files);
    if (folder === undefined) return undefined;
    for (const path of files.keys()) if (path.startsWith(`${folder}/`)) await side.remove(path);
    await side.put(folder, newContent(random), newTime(random));
    return folder;
  },
};

const WEIGHTS: Record<string, number> = {
  new: 10,
  grow: 6,
  sameSize: 4,
  quiet: 4,
  touch: 3,
  rename: 4,
  renameFolder: 2,
  swap: 1,
  remove: 4,
  removeFolder: 1,
  fileToFolder: 1,
  folderToFile: 1,
};

/** Makes some changes; the paths that were touched by name. */
export async function editTree(editing: Editing, count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const kind = editing.random.weighted(WEIGHTS);
    if (editing.without?.includes(kind)) continue;
    const path = await EDITS[kind]!(editing, await editing.side.snapshot());
    if (path !== undefined) editing.trace(`edit ${kind} ${JSON.stringify(path)}`);
  }
}

/** Makes sure that there are some files. */
export async function fillTree(editing: Editing, count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const path = await EDITS.new!(editing, await editing.side.snapshot());
    if (path !== undefined) editing.trace(`edit new ${JSON.stringify(path)}`);
  }
}

function anyOf(random: Random, files: Snapshot): string | undefined {
  return files.size === 0 ? undefined : random.pick([...files.keys()]);
}

function anyFolder(random: Random, files: Snapshot): string | undefined {
  const folders = new Set<string>();
  for (const path of files.keys()) {
    const segments = path.split('/');
    for (let depth = 1; depth < segments.length; depth++) folders.add(segments.slice(0, depth).join('/'));
  }
  return folders.size === 0 ? undefined : random.pick([...folders]);
}

/** A path that is neither a file, nor a folder, nor below a file. */
function freePath({ random, names }: Editing, files: Snapshot): string | undefined {
  for (let attempt = 0; attempt < 5; attempt++) {
    const depth = random.pick([1, 1, 2, 2, 3]);
    const path = Array.from({ length: depth }, () => random.pick(names)).join('/');
    const clashes = [...files.keys()].some(
      (other) => other === path || other.startsWith(`${path}/`) || path.startsWith(`${other}/`),
    );
    if (!clashes) return path;
  }
  return undefined;
}
