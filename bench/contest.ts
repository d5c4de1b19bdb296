/** Lets the package and rclone do the same work in turn. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { countFiles, makeData } from './data.js';
import { FarEnd, type Provider } from './far-end.js';
import { type LoopDelay, type Measurement, medianOf } from './measurement.js';
import { runRclone } from './rclone.js';
import { bestFlags, SCALING_STEPS, type Scenario } from './scenarios.js';
import { Station, type Task } from './station.js';

export type Contestant = 'ours' | 'defaults' | 'best';

export interface ContestOptions {
  /** For everything that is written; the caller removes it. */
  folder: string;
  packages: string;
  runs: number;
  provider: Provider;
  hasRclone: boolean;
  /** Program and arguments put before every process that is measured or serves one. */
  wrapper: readonly string[];
  say: (text: string) => void;
}

export interface ContestResult {
  scenario: Scenario;
  provider: Provider;
  idle: LoopDelay;
  medians: Partial<Record<Contestant, Measurement>>;
  runs: Partial<Record<Contestant, Measurement[]>>;
}

export interface ScalingStep {
  files: number;
  push: Measurement;
  unchanged: Measurement;
}

/** ms after which a new file's times can be told from those of a later change. */
const SETTLED_AFTER_MS = 3_000;

let taskNumber = 0;

/** One scenario, each contestant `runs` times, in turn. */
export async function holdContest(scenario: Scenario, options: ContestOptions): Promise<ContestResult> {
  const { hasRclone, runs, say } = options;
  const contestants: Contestant[] = hasRclone ? ['ours', 'defaults', 'best'] : ['ours'];
  return withStation(options, async (station, farEnd) => {
    const contest = new Contest(scenario, options, station, farEnd);
    await contest.prepare();
    await farEnd.setLatency(scenario.latencyMs ?? 0);
    const idle = await station.idle();
    const all: ContestResult['runs'] = {};
    for (let run = 0; run < runs; run++) {
      for (const contestant of contestants) {
        const measured = await contest.run(contestant);
        all[contestant] = [...(all[contestant] ?? []), measured];
        say(`  ${contestant} ${run + 1}/${runs}: ${(measured.wallMs / 1000).toFixed(2)} s`);
      }
    }
    const medians = Object.fromEntries(
      Object.entries(all).map(([contestant, measured]) => [contestant, medianOf(measured)]),
    );
    return { scenario, provider: options.provider, idle, medians, runs: all };
  });
}

/** First push and unchanged run of ours for growing numbers of files. */
export async function measureScaling(largest: number, options: ContestOptions): Promise<ScalingStep[]> {
  const steps: ScalingStep[] = [];
  for (const files of SCALING_STEPS.filter((step) => step <= largest)) {
    const measured = await withStation(options, async (station) => {
      const path = makeData(join(options.folder, 'data'), { files, size: 16 });
      await delay(SETTLED_AFTER_MS);
      await station.deploy({ id: 'scaling', direction: 'push', path, folder: 'bench' });
      await station.idle();
      const push = await station.run();
      // Often enough for the median to mean something, where one is over in a moment.
      const repeated: Measurement[] = [];
      for (let run = 0; run < (files > 100_000 ? 1 : 3); run++) repeated.push(await station.run());
      rmSync(path, { recursive: true });
      return { files, push, unchanged: medianOf(repeated) };
    });
    options.say(`  ${files} files: push ${(measured.push.wallMs / 1000).toFixed(1)} s`);
    steps.push(measured);
  }
  return steps;
}

/** A fresh server and a fresh Node-RED. */
async function withStation<T>(
  { folder, packages, provider, wrapper }: ContestOptions,
  use: (station: Station, farEnd: FarEnd) => Promise<T>,
): Promise<T> {
  const farEnd = await FarEnd.start(provider, wrapper);
  const own = join(folder, `station-${++taskNumber}`);
  try {
    const station = await Station.start(own, packages, farEnd, wrapper);
    try {
      return await use(station, farEnd);
    } finally {
      await station.stop();
    }
  } finally {
    await farEnd.stop();
    rmSync(own, { recursive: true, force: true });
  }
}

class Contest {
  readonly #source: string;

  constructor(
    private readonly scenario: Scenario,
    private readonly options: ContestOptions,
    private readonly station: Station,
    private readonly farEnd: FarEnd,
  ) {
    this.#source = makeData(join(options.folder, 'data'), scenario.data);
  }

  /** What has to be there before anything is measured. */
  async prepare(): Promise<void> {
    await delay(SETTLED_AFTER_MS);
    if (this.scenario.kind === 'push') return;
    await this.station.deploy(this.#task('push', this.#source, 'prepared'));
    await this.station.run();
    if (this.scenario.kind === 'unchanged') await this.station.run();
  }

  async run(contestant: Contestant): Promise<Measurement> {
    switch (this.scenario.kind) {
      case 'push':
        return this.#push(contestant);
      case 'pull':
        return this.#pull(contestant);
      case 'unchanged':
        return this.#measure(contestant, this.#task('push', this.#source, 'prepared'));
    }
  }

  async #push(contestant: Contestant): Promise<Measurement> {
    await this.farEnd.empty();
    const measured = await this.#measure(contestant, this.#task('push', this.#source));
    this.#expect(await this.farEnd.countObjects());
    return measured;
  }

  async #pull(contestant: Contestant): Promise<Measurement> {
    const target = join(this.options.folder, `target-${++taskNumber}`);
    const measured = await this.#measure(contestant, this.#task('pull', target));
    this.#expect(countFiles(target));
    // Many small ones stay to the end: ext4 makes new files several times slower for a while after many were removed.
    if (this.scenario.data.files === 1) rmSync(target, { recursive: true });
    return measured;
  }

  async #measure(contestant: Contestant, task: Task): Promise<Measurement> {
    const { station, farEnd, scenario, options } = this;
    if (contestant !== 'ours') {
      const flags = contestant === 'best' ? bestFlags(scenario, options.provider) : [];
      return runRclone(task, flags, farEnd, station, options.wrapper);
    }
    await station.deploy(task);
    const { report, ...measured } = await station.run();
    const expected = scenario.kind === 'unchanged' ? 0 : scenario.data.files;
    if (report.transferred.files !== expected)
      throw new Error(`${report.transferred.files} files transferred`);
    return measured;
  }

  /** One without state of earlier runs, unless it is given an id. */
  #task(direction: Task['direction'], path: string, id = `task-${++taskNumber}`): Task {
    return { id, direction, path, folder: 'bench', encrypted: this.scenario.encrypted };
  }

  #expect(found: number): void {
    const { files } = this.scenario.data;
    if (found !== files) throw new Error(`${found} files arrived instead of ${files}`);
  }
}
