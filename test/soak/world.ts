/** One world of a soak: two sides, a task between them, and random steps: edits, a run with faults, the oracle. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { compileFilter } from '../../src/engine/filter.js';
import type { LogEntry } from '../../src/engine/report.js';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { contentOfBytes } from '../../src/stores/content.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { providerNames } from '../../src/stores/names.js';
import { encryptedStore } from '../../src/stores/wrap/encrypted.js';
import { DiskFaults, installDiskFaults } from '../faults/local-disk.js';
import { TASK_DEFAULTS } from '../task-defaults.js';
import { editTree, FOLDED_NAMES, fillTree, NAMES, newContent } from './edits.js';
import type { KillChild } from './kill-child.js';
import { isSameTime, judge, type Moment, type Ran } from './oracle.js';
import { type Place, SOAK_PROVIDER, useForRuns } from './places.js';
import { contentKey } from './plain-bytes.js';
import type { Random } from './random.js';
import { hashOf, LocalSide, NonceWatch, RemoteSide, type Side } from './sides.js';

type Direction = 'push' | 'pull';

const PASSWORD = 'soak password';
const SALT = 'soak salt';
const FILTERS: Pick<TaskSettings, 'include' | 'exclude'>[] = [
  { include: [], exclude: ['*.tmp'] },
  { include: [], exclude: ['*.txt'] },
  { include: [], exclude: ['/a/**'] },
  { include: [], exclude: ['b/'] },
  { include: ['a*'], exclude: [] },
  { include: ['/a/**', '*.txt'], exclude: ['*b*'] },
];

/** A run of some dozen files that is still not through hangs, however busy the machine is. */
const TOO_LONG_MS = 120_000;

/** What a run after a kill is to be judged by its end alone. */
const UNHINDERED = { dryRun: false, maxDelete: null } satisfies Partial<TaskSettings>;

/** A rule that was broken, with what led to it. */
export class Broken extends Error {
  constructor(
    readonly rules: readonly string[],
    readonly trace: readonly string[],
  ) {
    super(`${rules.join('\n')}\n\n${trace.join('\n')}`);
    this.name = 'Broken';
  }

  /** Of its world, from 1. */
  get step(): number {
    return this.trace.filter((line) => /^step \d+$/.test(line)).length;
  }
}

export interface WorldCounts {
  runs: Record<string, number>;
  faults: Record<string, number>;
  codes: Record<string, number>;
}

interface Plan {
  direction: Direction;
  task: TaskSettings;
  isCalm: boolean;
  abortAfter: number | undefined;
}

export class World {
  private readonly trace: string[] = [];
  private readonly local: LocalSide;
  private readonly disk = new DiskFaults();
  private readonly nonces = new NonceWatch();
  private remote!: RemoteSide;
  private readonly known = new Set<string>();
  private foreignUploads: string[] = [];
  private directions: Direction[];
  private encryption: 'none' | 'names plain' | 'names too';
  /** The same for all runs: a backup folder in a local destination is a folder like others for a run without one. */
  private readonly hasBackup: boolean;
  private hasCompared = false;
  private runs = 0;

  /**
   * @param folder of its own, empty
   * @param verbose prints what happens while it happens
   */
  constructor(
    private readonly folder: string,
    private readonly place: Place,
    private readonly random: Random,
    private readonly counts: WorldCounts,
    private readonly verbose: boolean,
  ) {
    this.local = new LocalSide(join(folder, 'local'));
    this.directions = random.pick([['push'], ['push'], ['pull'], ['pull'], ['push', 'pull']]);
    this.hasBackup = this.directions.length === 1 && random.chance(0.25);
    this.encryption = random.weighted({ none: 60, 'names plain': 20, 'names too': 20 });
  }

  /** Goes through `steps` steps. Throws {@link Broken}. */
  async live(steps: number): Promise<void> {
    await this.begin();
    const uninstall = installDiskFaults(this.local.root, this.disk);
    const realNow = Date.now;
    // What was changed a moment ago is never believed by its times; so the clock is ahead in most worlds.
    const hasFastClock = this.random.chance(0.7);
    try {
      for (let step = 1; step <= steps; step++) {
        if (hasFastClock) Date.now = () => realNow() + 5_000 + step * 3_000;
        this.say(`step ${step}`);
        await this.step();
      }
    } finally {
      Date.now = realNow;
      uninstall();
      await this.place.close();
    }
  }

  /**
   * Lets a process carry runs out and kills it at random moments, `kills` times; after each the next run has to put
   * everything right, and send nothing again that had arrived.
   */
  async liveThroughKills(kills: number, start: () => KillChild): Promise<void> {
    await this.begin();
    try {
      for (let killed = 0; killed < kills; ) {
        this.say(`step ${killed + 1}`);
        const direction = this.random.pick(this.directions);
        await editTree(this.editing(direction), this.random.whole(3, 10));
        await fillTree(this.editing(direction), this.random.whole(1, 3));
        const { task } = this.plan(direction);
        const plan = { direction, isCalm: true, abortAfter: undefined, task: { ...task, ...UNHINDERED } };
        for (let again = true; again && killed < kills; again = this.random.chance(0.2)) {
          if (await this.runAndKill(plan, start())) killed++;
        }
        await this.goOnAfterKill(plan);
      }
    } finally {
      await this.place.close();
    }
  }

  /** False where the process was faster. */
  private async runAndKill({ task, direction }: Plan, child: KillChild): Promise<boolean> {
    const { random } = this;
    const before = await this.look(direction);
    const count = random.chance(0.2) ? random.whole(1, 3) : random.whole(3, 60);
    const waitMs = random.chance(0.5) ? 0 : random.next() * 30;
    this.place.afterRequests(count, () => setTimeout(() => child.kill(), waitMs));
    this.say(`run ${direction} ${task.transferMode}, killed ${waitMs.toFixed(0)} ms after request ${count}`);
    const wasKilled = await child.run(this.requestFor(task));
    await this.place.idle(true);
    this.place.clearFaults();
    this.say(wasKilled ? '  killed' : '  it was through before');
    const after = await this.look(direction);
    const ran: Ran = {
      ...this.settingsOf(task, direction),
      during: new Map(),
      hidesKeys: false,
      wasCalm: false,
      wasAborted: true,
      status: 'aborted',
      errors: [],
      warnings: [],
      transferred: 0,
      deleted: 0,
      events: [],
    };
    const broken = judge(before, after, ran);
    if (broken.length > 0) this.break(broken);
    return wasKilled;
  }

  private async goOnAfterKill(plan: Plan): Promise<void> {
    const { source, destination } = await this.look(plan.direction);
    this.say('after the kill:');
    const ran = await this.runAndJudge(plan);
    if (ran.status !== 'success') {
      // Nothing at all left to move, or to sync with.
      if (ran.errors.every(({ code }) => code === 'SOURCE_EMPTY' || code === 'OBSTRUCTED')) return;
      this.break(['the run after the kill fails']);
    }
    for (const { event, path } of ran.events) {
      const [own, there] = [source.get(path), destination.get(path)];
      if (event !== 'transfer' || own === undefined || there === undefined) continue;
      if (own.hash === there.hash && isSameTime(own, there, ran.timeStep))
        this.break([`"${path}" was sent again`]);
    }
  }

  private async begin(): Promise<void> {
    const { place } = this;
    useForRuns(place.open);
    const bare = place.openCalm();
    const names = providerNames(bare.features.names);
    const isEncrypted = this.encryption !== 'none';
    const cipher = isEncrypted
      ? await createCipher({
          password: PASSWORD,
          salt: SALT,
          filenameEncryption: this.encryption === 'names too',
        })
      : undefined;
    this.remote = new RemoteSide(place.raw, cipher === undefined ? bare : encryptedStore(bare, cipher), {
      prefix: 'data/',
      names: cipher === undefined ? names : encryptedNames(cipher, names),
      key: cipher === undefined ? undefined : contentKey(PASSWORD, SALT),
    });
    for (const key of ['data2/keep', 'dat', 'data.txt', 'other/a']) {
      await bare.write(key, contentOfBytes(Buffer.from(`content of ${key}`)));
    }
    this.foreignUploads = await place.beginForeignUploads(['data/a', 'data/foreign']);
    this.say(`world: ${place.kind}, ${this.directions.join(' and ')}, encryption ${this.encryption}`);
    await fillTree(this.editing(this.directions[0]!), this.random.whole(5, 25));
  }

  private async step(): Promise<void> {
    const direction = this.random.pick(this.directions);
    await editTree(this.editing(direction), this.random.pick([0, 1, 1, 2, 3, 5]));
    if ((await this.sourceOf(direction).snapshot()).size === 0) await fillTree(this.editing(direction), 4);
    if (this.random.chance(0.12)) {
      this.say('another program at the destination:');
      const side = this.destinationOf(direction);
      const other = { ...this.editing(direction), side, known: new Set<string>(), without: ['touch'] };
      await editTree(other, this.random.whole(1, 2));
    }
    const plan = this.plan(direction);
    const ran = await this.runAndJudge(plan);
    const wasWhole = ran.status === 'success' && !ran.dryRun && !ran.hidesKeys && ran.during.size === 0;
    if (wasWhole && ran.transferMode !== 'move' && this.random.chance(0.4)) await this.runAgain(plan);
  }

  /** Nothing changed, so nothing may happen. */
  private async runAgain(plan: Plan): Promise<void> {
    this.say('once more:');
    const again = await this.runAndJudge({ ...plan, isCalm: true, abortAfter: undefined });
    const { status, transferred, deleted } = again;
    if (status !== 'success' || transferred + deleted > 0) {
      this.break([`a second run: ${status}, ${transferred} transferred, ${deleted} deleted`]);
    }
  }

  private plan(direction: Direction): Plan {
    const { random } = this;
    const isFiltered = random.chance(0.2);
    const filter = isFiltered ? random.pick(FILTERS) : { include: [], exclude: [] };
    return {
      direction,
      isCalm: random.chance(0.35),
      abortAfter: random.chance(0.15) ? random.whole(1, 30) : undefined,
      task: {
        ...this.plainTask(direction),
        ...filter,
        transferMode: random.weighted({ sync: 65, copy: 20, move: 15 }),
        checksum: random.chance(0.15),
        createEmptySrcDirs: random.chance(0.15),
        metadata: random.chance(0.1),
        transfers: random.pick([null, null, null, 1, 2, 64]),
        maxDelete: random.pick([null, null, '50%', '50%', '10%', 0, 1, 3]),
        backupFolder: this.hasBackup ? 'backup' : '',
        dryRun: random.chance(0.07),
      },
    };
  }

  private plainTask(direction: Direction): TaskSettings {
    return {
      taskId: direction,
      name: direction,
      credential: { id: 'credential', name: 'soak', provider: SOAK_PROVIDER, config: {}, secrets: {} },
      direction,
      transferMode: 'sync',
      path: this.local.root,
      bucket: this.place.bucket,
      folder: 'data',
      ...TASK_DEFAULTS,
      encryption: this.encryption !== 'none',
      filenameEncryption: this.encryption === 'names too',
      ...(this.encryption === 'none' ? {} : { encryptionPassword: PASSWORD, encryptionSalt: SALT }),
      lease: false,
      maxDelete: null,
    };
  }

  private async runAndJudge(plan: Plan): Promise<Ran> {
    const { task, direction } = plan;
    const { transferMode, dryRun, checksum, maxDelete, transfers, include, exclude, backupFolder } = task;
    const before = await this.look(direction);
    // The index forgets what a run finds gone; a file that has the name later is another one.
    for (const path of this.known) if (!before.source.has(path)) this.known.delete(path);
    this.hasCompared ||= checksum;
    const during: Ran['during'] = new Map();
    const controller = new AbortController();
    const faults = plan.isCalm ? [] : this.makeFaults(direction, [...before.source.keys()], during);
    if (plan.abortAfter !== undefined) {
      this.place.afterRequests(plan.abortAfter, () => controller.abort());
    }
    const words = { transferMode, dryRun, checksum, maxDelete, transfers, include, exclude, backupFolder };
    this.say(`run ${direction} ${JSON.stringify(words)}`);
    this.say(`  faults: ${faults.join(', ')}${plan.abortAfter ? `; abort after ${plan.abortAfter}` : ''}`);
    const log: LogEntry[] = [];
    const result = await this.carryOut(task, controller.signal, log);
    this.disk.clear();
    // What the server still does for requests that were given up.
    await this.place.idle(result.status !== 'success');
    this.place.clearFaults();
    const after = await this.look(direction);
    const ran: Ran = {
      ...this.settingsOf(task, direction),
      during,
      hidesKeys: faults.some((word) => word.startsWith('hiddenKeys')),
      wasCalm: faults.length === 0 && !controller.signal.aborted,
      wasAborted: controller.signal.aborted,
      status: result.status === 'skipped' ? 'failed' : result.status,
      errors: result.errors,
      warnings: result.warnings,
      transferred: result.transferred.files,
      deleted: result.deleted,
      // A warning says what could not be done.
      events: log.filter(({ level }) => level === 'info').map(({ event, path = '' }) => ({ event, path })),
    };
    this.sayResult(result, log);
    this.count(ran, faults, result);
    const broken = [
      ...judge(before, after, ran),
      ...(await this.unexpected(before, ran)),
      ...this.leftovers(ran),
    ];
    const nonce = this.encryption === 'none' ? undefined : this.nonces.look(this.encryptedObjects());
    if (nonce !== undefined) broken.push(`NONCE USED TWICE: ${nonce}`);
    if (broken.length > 0) this.break(broken);
    this.remember(before, ran);
    return ran;
  }

  private *encryptedObjects(): Generator<Buffer> {
    for (const stored of this.place.raw.everStored()) {
      if (stored.subarray(0, 6).toString('latin1') === 'RCLONE') yield stored;
    }
  }

  private async carryOut(task: TaskSettings, signal: AbortSignal, log: LogEntry[]): Promise<ExecutionResult> {
    const host = { signal, phase: () => {}, log: (entry: LogEntry) => void log.push(entry) };
    const timeout = delay(TOO_LONG_MS, undefined, { ref: false }).then(() => 'too long' as const);
    const result = await Promise.race([execute(this.requestFor(task), host).result, timeout]);
    if (result === 'too long') {
      for (const entry of log.slice(-40)) this.say(`  log: ${JSON.stringify(entry)}`);
      return this.break(['a run does not end']);
    }
    return result;
  }

  private requestFor(task: TaskSettings): RunRequest {
    return {
      runId: `run-${++this.runs}`,
      nodeId: task.taskId,
      operation: 'sync',
      task,
      dataFolder: join(this.folder, 'data'),
    };
  }

  private settingsOf(task: TaskSettings, direction: Direction) {
    const { transferMode, dryRun, checksum, maxDelete, backupFolder } = task;
    const filter = compileFilter(task);
    return {
      transferMode,
      dryRun,
      checksum,
      maxDelete,
      hasBackup: backupFolder !== '',
      wants: (path: string) => filter.includesFile(path),
      // A run that compares by hash leaves other times alone, and the index remembers it as equal.
      // A change of metadata alone leaves ETag and hash of an object as they were, and listings don't show it.
      timeStep: this.place.openCalm().features.modificationTime.precision,
      keepsTimes:
        direction === 'pull' ||
        this.directions.length > 1 ||
        this.hasCompared ||
        this.place.keepsVersions ||
        this.place.openCalm().features.modificationTime.change === 'none',
      // Azure has none of blobs made of blocks.
      hasHashes: this.place.kind !== 'azure-blob',
    };
  }

  /** Faults of this run, in words. */
  private makeFaults(direction: Direction, paths: string[], during: Ran['during']): string[] {
    const { random } = this;
    const words: string[] = [];
    if (random.chance(0.7)) words.push(...this.place.makeFaults(random).words);
    if (words.length === 0 || random.chance(0.2)) words.push(this.makeDiskFault(direction, paths, during));
    return words;
  }

  private makeDiskFault(direction: Direction, paths: string[], during: Ran['during']): string {
    const { random, disk } = this;
    const afterBytes = random.pick([0, 1, 9, 5_000]);
    const share = {
      times: random.whole(1, 4),
      probability: random.pick([0.3, 1]),
      random: random.fork().next,
    };
    const code = random.pick(['EIO', 'EACCES', 'ENOSPC'] as const);
    const kind = random.pick(['error', 'error', 'list', 'change', 'change'] as const);
    if (kind === 'change' && direction === 'push') {
      const ways = ['append', 'rewrite', 'remove'] as const;
      // Only the index of its own direction can find one that keeps size and time.
      const how = random.pick(this.directions.length > 1 ? ways : [...ways, 'quiet' as const]);
      const action = {
        type: 'change',
        afterBytes,
        change: (path: string) => this.disturb(path, how, during),
      } as const;
      disk.add({ operation: random.pick(['read', 'read', 'open']), ...share, action });
      return `${how} while read`;
    }
    const folders = [
      ...new Set(paths.filter((path) => path.includes('/')).map((path) => path.split('/')[0]!)),
    ];
    if (kind === 'list' && folders.length > 0) {
      const key = random.pick(folders);
      disk.add({ operation: 'list', key, action: { type: 'error', code: 'EIO' } });
      return `EIO on listing ${key}/`;
    }
    const operation = random.pick(['open', 'read', 'write', 'delete', 'rename', 'set-time'] as const);
    disk.add({ operation, ...share, action: { type: 'error', code, afterBytes } });
    return `${code} on ${operation}`;
  }

  /** Another program does something to a file of the source while the run reads it. */
  private disturb(path: string, how: 'append' | 'rewrite' | 'quiet' | 'remove', during: Ran['during']): void {
    const file = join(this.local.root, path);
    if (!existsSync(file)) return;
    const versions = during.get(path) ?? [];
    during.set(path, versions);
    this.say(`  ${how} ${JSON.stringify(path)} while it is read`);
    const old = readFileSync(file);
    if (how === 'remove') {
      versions.push(undefined);
      void this.local.remove(path);
      return;
    }
    const bytes =
      how === 'append'
        ? Buffer.concat([old, Buffer.from('more')])
        : newContent(this.random, how === 'quiet' ? old.length : old.length + 3);
    versions.push(hashOf(bytes));
    if (how === 'quiet') this.local.rewriteQuietly(path, bytes);
    else writeFileSync(file, bytes);
  }

  private async look(direction: Direction): Promise<Moment> {
    const objects = await this.place.raw.all();
    const remote = this.remote.snapshotOf(objects);
    const local = await this.local.snapshot();
    const others = new Map<string, string>();
    const backup: Moment['backup'] = [];
    const dated = new Set<string>();
    for (const [key, { tag }] of objects) {
      const folder = /^backup\/[^/]+\//.exec(key)?.[0];
      if (folder !== undefined) dated.add(folder);
      else if (!key.startsWith('data/')) others.set(key, tag);
    }
    for (const folder of dated) {
      for (const [path, { hash }] of this.remote.snapshotOf(objects, folder)) backup.push({ path, hash });
    }
    for (const [path, { hash }] of local) {
      const kept = /^backup\/[^/]+Z\/(.*)$/s.exec(path);
      if (kept !== null) backup.push({ path: kept[1]!, hash });
      if (kept !== null || this.isTemporary(path)) local.delete(path);
    }
    const [source, destination] = direction === 'push' ? [local, remote] : [remote, local];
    return { source, destination, backup, others };
  }

  private isTemporary(path: string): boolean {
    return path.slice(path.lastIndexOf('/') + 1).startsWith('.cloud-sync-');
  }

  /** Temporary files and uploads that nobody will take up. */
  private leftovers(ran: Ran): string[] {
    const found: string[] = [];
    const journals = this.directions
      .map((direction) => join(this.folder, 'data', 'state', direction, 'uploads.jsonl'))
      .map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
      .join('');
    const mayResume = ran.status !== 'success' || this.directions.length > 1 || ran.dryRun;
    // What a run that failed could not remove goes with the next one that deletes what the source doesn't have.
    const mayWait = mayResume || ran.transferMode !== 'sync';
    for (const path of this.local.paths()) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      if (name.endsWith('.aside') && !mayWait) found.push(`left aside: ${path}`);
      if (!this.isTemporary(path)) continue;
      if (!mayResume || !journals.includes(name.replace(/\.parts$/, '.part')))
        found.push(`left behind: ${path}`);
    }
    const pending = this.place.pendingUploads();
    for (const { key, id } of pending) {
      if (this.foreignUploads.includes(id)) continue;
      const isKnown = journals.includes(id) || journals.includes(`"begun":{"key":${JSON.stringify(key)}`);
      if (!mayResume || !isKnown) found.push(`an upload is left at the server: ${key}`);
    }
    for (const id of this.foreignUploads) {
      if (!pending.some((upload) => upload.id === id)) found.push("another program's upload was removed");
    }
    const work = join(this.folder, 'data', 'work');
    if (existsSync(work) && readdirSync(work).length > 0) found.push('the work folder is not empty');
    return found;
  }

  /** Without any fault only these may keep a run from succeeding. */
  private async unexpected(before: Moment, ran: Ran): Promise<string[]> {
    if (!ran.wasCalm || ran.status === 'success') return [];
    const wanted = (side: Map<string, unknown>) => [...side.keys()].filter(ran.wants).length;
    const isEmpty =
      before.source.size === 0 || (wanted(before.source) === 0 && wanted(before.destination) > 0);
    const due = [...before.destination.keys()].filter((path) => ran.wants(path) && !before.source.has(path));
    const broken: string[] = [];
    for (const { code, path, message } of ran.errors) {
      const isFine =
        (code === 'SOURCE_EMPTY' && isEmpty) ||
        (code === 'MAX_DELETE' && due.length > 0 && ran.maxDelete !== null) ||
        (code === 'OBSTRUCTED' && (await this.isObstructed(before, path)));
      if (!isFine) broken.push(`failed without a reason: ${code} ${path}: ${message}`);
    }
    return broken;
  }

  private async isObstructed(before: Moment, path: string): Promise<boolean> {
    if (this.local.hasFolder(path) || (await this.remote.hasFolder(path))) return true;
    return [...before.destination.keys(), ...before.source.keys()].some(
      (other) => other.startsWith(`${path}/`) || path.startsWith(`${other}/`),
    );
  }

  /** What the index knows now: in a world with one direction only, because each task has its own index. */
  private remember(before: Moment, ran: Ran): void {
    if (this.directions.length > 1) return;
    if (ran.status !== 'success' || ran.dryRun || ran.transferMode === 'move' || ran.hidesKeys) return;
    for (const path of before.source.keys()) {
      if (ran.wants(path) && !ran.during.has(path)) this.known.add(path);
    }
  }

  private editing(direction: Direction) {
    const { random, known, place } = this;
    const { caseSensitive, normalizationSensitive } = place.openCalm().features;
    const names = caseSensitive && normalizationSensitive ? NAMES : FOLDED_NAMES;
    return {
      side: this.sourceOf(direction),
      random,
      known,
      names,
      trace: (text: string) => this.say(`  ${text}`),
    };
  }

  private sourceOf(direction: Direction): Side {
    return direction === 'push' ? this.local : this.remote;
  }

  private destinationOf(direction: Direction): Side {
    return direction === 'push' ? this.remote : this.local;
  }

  private count(ran: Ran, faults: string[], result: ExecutionResult): void {
    const add = (counts: Record<string, number>, name: string) => {
      counts[name] = (counts[name] ?? 0) + 1;
    };
    add(this.counts.runs, ran.status);
    for (const fault of faults) add(this.counts.faults, fault.replace(/listing .*/, 'listing'));
    for (const { code } of result.errors) add(this.counts.codes, code);
  }

  private sayResult(result: ExecutionResult, log: LogEntry[]): void {
    const { status, transferred, deleted, errors, warnings } = result;
    this.say(`  ${status}: ${transferred.files} transferred, ${deleted} deleted`);
    for (const { code, path, message } of errors) this.say(`    ${code} ${path}: ${message}`);
    for (const { code, path, message } of warnings) this.say(`    (${code} ${path}: ${message})`);
    for (const { event, path, message } of log) {
      if (event === 'phase') continue;
      this.say(`    . ${event} ${path ?? ''} ${message ?? ''}`);
    }
  }

  private say(text: string): void {
    this.trace.push(text);
    if (this.verbose) console.log(text);
  }

  private break(rules: string[]): never {
    throw new Broken(rules, this.trace);
  }
}

/** An empty folder for a world. */
export function worldFolder(parent: string, number: number): string {
  const folder = join(parent, `world-${number}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}
