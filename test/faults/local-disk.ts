/**
 * A local disk that fails: full, broken, forbidden, or with files that other programs change while they are read. Around
 * one store, or under every local store of this process (for code that opens its own).
 */

import { tmpdir } from 'node:os';
import type { CloudSyncError } from '../../src/errors.js';
import { fromSystemError } from '../../src/stores/local/system-errors.js';
import { openLocalStore } from '../../src/stores/local.js';
import type { Content, ListOptions, OpenedObject, Store, StoredObject } from '../../src/stores/store.js';

export type DiskErrorCode = 'EIO' | 'ENOSPC' | 'EACCES';

export type DiskAction =
  /** The call fails; reads and writes after `afterBytes`. */
  | { type: 'error'; code: DiskErrorCode; afterBytes?: number }
  /** Another program does something to the file once `afterBytes` of it were read. */
  | { type: 'change'; change: (key: string) => void; afterBytes?: number };

export interface DiskFault {
  /** `list`: one folder (`key`) can't be read. */
  operation: 'open' | 'read' | 'write' | 'delete' | 'rename' | 'list' | 'set-time';
  /** Default: any. */
  key?: string;
  /** How often; default always. */
  times?: number;
  /** Share of the calls it strikes (0 to 1). */
  probability?: number;
  /** Default Math.random. */
  random?: () => number;
  action: DiskAction;
}

/** The faults in place; none strikes before it is added. */
export class DiskFaults {
  private active: { fault: DiskFault; hits: number }[] = [];

  add(fault: DiskFault): void {
    this.active.push({ fault, hits: 0 });
  }

  clear(): void {
    this.active = [];
  }

  strike(operation: DiskFault['operation'], key: string): DiskAction | undefined {
    const found = this.active.find(({ fault, hits }) => {
      const { probability = 1, random = Math.random, times = Number.POSITIVE_INFINITY } = fault;
      if (fault.operation !== operation || hits >= times) return false;
      if (fault.key !== undefined && fault.key !== key) return false;
      return probability >= 1 || random() < probability;
    });
    if (found !== undefined) found.hits++;
    return found?.fault.action;
  }

  /** Folders that can't be listed. */
  unlistable(): string[] {
    return this.active
      .filter(({ fault }) => fault.operation === 'list' && fault.key !== undefined)
      .map(({ fault }) => fault.key!);
  }
}

/** `store` with these faults. */
export function faultyDisk(store: Store, faults: DiskFaults): Store {
  const members = faultyMembers(store, faults);
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/**
 * Puts the faults under every local store of this process that has this root (no symbolic links in it); call the result
 * to take them away again.
 */
export function installDiskFaults(root: string, faults: DiskFaults): () => void {
  const prototype = Object.getPrototypeOf(openLocalStore(tmpdir())) as Store;
  const originals = new Map(MEMBERS.map((name) => [name, prototype[name]]));
  for (const name of MEMBERS) {
    const inPlace = function (this: Store, ...parameters: unknown[]) {
      if (this.identity !== `file://${root}`) {
        return (originals.get(name) as (...all: unknown[]) => unknown).apply(this, parameters);
      }
      const real = Object.fromEntries(MEMBERS.map((member) => [member, originals.get(member)!.bind(this)]));
      const members = faultyMembers(real as unknown as Store, faults) as Record<string, unknown>;
      return (members[name] as (...all: unknown[]) => unknown)(...parameters);
    };
    Object.assign(prototype, { [name]: inPlace });
  }
  return () => {
    Object.assign(prototype, Object.fromEntries(originals));
  };
}

const MEMBERS = ['open', 'write', 'delete', 'rename', 'setModificationTime', 'list'] as const;

function faultyMembers(store: Pick<Store, (typeof MEMBERS)[number]>, faults: DiskFaults) {
  const failAt = (operation: DiskFault['operation'], key: string) => {
    const action = faults.strike(operation, key);
    if (action?.type === 'error') throw systemError(action.code, key);
    action?.change(key);
  };
  return {
    async open(key: string, options?: Parameters<Store['open']>[1]) {
      failAt('open', key);
      return faultyReading(await store.open(key, options), key, faults);
    },
    async write(key: string, content: Content, options?: Parameters<Store['write']>[2]) {
      const action = faults.strike('write', key);
      if (action?.type !== 'error') return store.write(key, content, options);
      const { code, afterBytes = 0 } = action;
      return store.write(key, failingContent(content, afterBytes, systemError(code, key)), options);
    },
    async delete(request: Parameters<Store['delete']>[0], signal?: AbortSignal) {
      failAt('delete', request.key);
      return store.delete(request, signal);
    },
    async rename(key: string, newKey: string, signal?: AbortSignal) {
      failAt('rename', key);
      return store.rename(key, newKey, signal);
    },
    async setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal) {
      failAt('set-time', object.key);
      return store.setModificationTime(object, time, signal);
    },
    list(options: ListOptions = {}) {
      return faultyListing(store, options, faults.unlistable());
    },
  };
}

function systemError(code: DiskErrorCode, key: string): CloudSyncError {
  const thrown = Object.assign(new Error(`${code}: made by the test`), { code });
  return fromSystemError(thrown, key, 'use') as CloudSyncError;
}

function failingContent(content: Content, afterBytes: number, error: CloudSyncError): Content {
  return {
    size: content.size,
    async *read(offset = 0, length = content.size - offset) {
      const whole = Math.min(length, Math.max(0, afterBytes - offset));
      if (whole > 0) yield* content.read(offset, whole);
      throw error;
    },
  };
}

function faultyReading(opened: OpenedObject, key: string, faults: DiskFaults): OpenedObject {
  const action = faults.strike('read', key);
  if (action === undefined) return opened;
  let left = action.afterBytes ?? 0;
  let isDone = false;
  const act = () => {
    if (isDone) return;
    if (action.type === 'error') throw systemError(action.code, key);
    isDone = true;
    action.change(key);
  };
  return {
    object: opened.object,
    async *read(offset = 0, length = opened.object.size - offset, signal?: AbortSignal) {
      const before = Math.min(left, length);
      if (before > 0) yield* opened.read(offset, before, signal);
      left -= before;
      if (left === 0) act();
      if (before < length) yield* opened.read(offset + before, length - before, signal);
    },
    confirmUnchanged: () => opened.confirmUnchanged(),
    close: () => opened.close(),
  };
}

/** What lies in a folder that can't be read isn't there; the folder itself says why. */
async function* faultyListing(
  store: Pick<Store, 'list'>,
  options: ListOptions,
  folders: readonly string[],
): AsyncGenerator<readonly StoredObject[]> {
  const said = new Set<string>();
  for await (const page of store.list(options)) {
    if (folders.length === 0) {
      yield page;
      continue;
    }
    const changed: StoredObject[] = [];
    for (const object of page) {
      const folder = folders.find((name) => object.key === name || object.key.startsWith(`${name}/`));
      const isInside = folder !== undefined && (object.kind === 'folder' || object.key !== folder);
      if (!isInside) changed.push(object);
      else if (!said.has(folder)) {
        said.add(folder);
        changed.push(unreadableFolder(folder, object));
      }
    }
    yield changed;
  }
}

function unreadableFolder(folder: string, first: StoredObject): StoredObject {
  const depth = folder.split('/').length;
  const orderKey = first.orderKey?.split('/').slice(0, depth).join('/');
  return {
    key: folder,
    kind: 'folder',
    size: 0,
    ...(orderKey === undefined ? {} : { orderKey }),
    problem: systemError('EIO', folder),
  };
}
