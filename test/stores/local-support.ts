/** Folders, users and file systems for the tests of the local store. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudSyncError, type ErrorCode } from '../../src/errors.js';
import { type LocalStoreOptions, openLocalStore } from '../../src/stores/local.js';
import type { ListOptions, Store, StoredObject } from '../../src/stores/store.js';

export const isRoot = process.getuid?.() === 0;
/** A user that owns nothing here. */
export const NOBODY = 65534;

/** A folder of its own with a store on `root` in it, and all that lies outside of it beside. */
export class Place {
  readonly folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'cloud-sync-local-')));
  readonly root = join(this.folder, 'root');
  readonly outside = join(this.folder, 'outside');
  #stores: Store[] = [];

  constructor() {
    fs.mkdirSync(this.root);
    fs.mkdirSync(this.outside);
    fs.writeFileSync(join(this.outside, 'secret'), 'secret');
    if (isRoot) fs.chmodSync(this.folder, 0o755);
  }

  store(options?: LocalStoreOptions): Store {
    const store = openLocalStore(this.root, options);
    this.#stores.push(store);
    return store;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** Makes a file and the folders above it. */
  file(name: string, content = name): string {
    const path = this.path(name);
    fs.mkdirSync(join(path, '..'), { recursive: true });
    fs.writeFileSync(path, content);
    return path;
  }

  /** Nothing may have come, gone or changed outside of the root. */
  assertOutsideUntouched(): void {
    assert.deepEqual(fs.readdirSync(this.folder).sort(), ['outside', 'root']);
    assert.deepEqual(fs.readdirSync(this.outside), ['secret']);
    assert.equal(fs.readFileSync(join(this.outside, 'secret'), 'utf8'), 'secret');
  }

  /** No temporary file is left anywhere. */
  assertNoTemporaryFiles(): void {
    const names = fs.readdirSync(this.root, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      names.filter((name) => name.includes('.cloud-sync-')),
      [],
    );
  }

  async remove(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function listAll(store: Store, options: ListOptions = {}): Promise<StoredObject[]> {
  const entries: StoredObject[] = [];
  for await (const page of store.list(options)) entries.push(...page);
  return entries;
}

export async function keysOf(store: Store, options: ListOptions = {}): Promise<string[]> {
  return (await listAll(store, options)).map((entry) => entry.key);
}

/** `action` fails with this code; gives the error. */
export async function failsWith(code: ErrorCode, action: () => unknown): Promise<CloudSyncError> {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof CloudSyncError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  assert.fail(`no error where ${code} was expected`);
}

/** Runs `action` as a user who may not do everything: root becomes nobody for this time. */
export async function withoutPrivileges<T>(action: () => Promise<T>): Promise<T> {
  if (!isRoot) return await action();
  process.setegid!(NOBODY);
  process.seteuid!(NOBODY);
  try {
    return await action();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
}

/** Mounts a file system in memory on a new folder; undefined, loudly, where that isn't allowed. */
export function mountTemporary(folder: string, options: string): { unmount(): void } | undefined {
  fs.mkdirSync(folder, { recursive: true });
  const result = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { encoding: 'utf8' });
  if (result.status !== 0) {
    console.warn(`      a tmpfs cannot be mounted here: NOT tested (${result.stderr?.trim() ?? 'no mount'})`);
    return undefined;
  }
  return { unmount: () => execFileSync('umount', [folder]) };
}
