/**
 * `npm run bench`: the packed package in a real Node-RED beside rclone, on one server and the same data, in turn.
 * See docs/benchmarks.md.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type ContestOptions,
  type ContestResult,
  holdContest,
  measureScaling,
  type ScalingStep,
} from './contest.js';
import { PROVIDERS, type Provider } from './far-end.js';
import { installPackage } from './package.js';
import { rcloneVersion } from './rclone.js';
import { quick, SCALING_STEPS, SCENARIOS, type Scenario } from './scenarios.js';
import { contestLines, encryptionLines, outcomes, scalingLines } from './table.js';

const USAGE = `npm run bench -- [--only NAME,NAME] [--runs N] [--quick] [--one-core] [--provider NAME] [--json FILE] [--packages FOLDER]
  --only      scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}, scaling
  --runs      times each contestant runs, default 5
  --quick     one run each, the longest ones shortened
  --one-core  server, Node-RED, runs and rclone share one core
  --provider  whose server: ${PROVIDERS.join(', ')}; default ${PROVIDERS[0]}; Azure's has no scenarios at a distance
  --json      where the result goes, default bench/results/latest.json
  --packages  a node_modules folder with the package instead of packing this checkout`;

interface Selection {
  scenarios: Scenario[];
  /** Largest number of files of the scaling table; 0: none. */
  scaling: number;
}

function select(only: string | undefined, isQuick: boolean, provider: Provider): Selection {
  const names = only?.split(',');
  const known = new Set([...SCENARIOS.map(({ name }) => name), 'scaling']);
  const unknown = names?.find((name) => !known.has(name));
  if (unknown !== undefined) throw new Error(`No scenario "${unknown}"\n${USAGE}`);
  const isPossible = ({ latencyMs }: Scenario) => provider !== 'azure-blob' || latencyMs === undefined;
  const scenarios = SCENARIOS.filter(isPossible).filter(({ name, isLong }) =>
    names === undefined ? isLong !== true : names.includes(name),
  );
  const wantsScaling = names === undefined || names.includes('scaling');
  const largest = isQuick ? 10_000 : names === undefined ? 100_000 : SCALING_STEPS.at(-1)!;
  return { scenarios: isQuick ? scenarios.map(quick) : scenarios, scaling: wantsScaling ? largest : 0 };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'one-core': { type: 'boolean', default: false },
      json: { type: 'string', default: 'bench/results/latest.json' },
      provider: { type: 'string', default: PROVIDERS[0] },
      packages: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const provider = PROVIDERS.find((known) => known === values.provider);
  if (provider === undefined) throw new Error(`No provider "${values.provider}"\n${USAGE}`);
  const { scenarios, scaling } = select(values.only, values.quick, provider);
  const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-bench-'));
  const removeAll = () => rmSync(folder, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  process.once('exit', removeAll);
  const rclone = rcloneVersion();
  const say = (text: string) => console.error(text);
  try {
    const options: ContestOptions = {
      folder,
      packages: values.packages ?? (await installPackage(folder)),
      runs: Number(values.runs ?? (values.quick ? 1 : 5)),
      provider,
      hasRclone: rclone !== undefined,
      wrapper: values['one-core'] ? ['taskset', '-c', '0'] : [],
      say,
    };
    const machine = {
      date: new Date().toISOString(),
      node: process.version,
      rclone: rclone ?? null,
      provider,
      processor: cpus()[0]?.model ?? '',
      cores: values['one-core'] ? 1 : cpus().length,
      loadBefore: loadavg()[0]!,
      runs: options.runs,
    };
    console.log(
      `Node.js ${machine.node}, ${rclone === undefined ? 'rclone is NOT installed: this package alone' : `rclone ${rclone}`}, ` +
        `${provider}, ${machine.cores} cores (${machine.processor}), load ${machine.loadBefore.toFixed(1)} before; medians of ${machine.runs}\n`,
    );
    const results: ContestResult[] = [];
    for (const scenario of scenarios) {
      say(scenario.name);
      const result = await holdContest(scenario, options);
      results.push(result);
      console.log(`${contestLines(result).join('\n')}\n`);
    }
    const costs = encryptionLines(results);
    if (costs.length > 0) console.log(`${costs.join('\n')}\n`);
    const steps: ScalingStep[] = scaling === 0 ? [] : await measureScaling(scaling, options);
    if (steps.length > 0) console.log(scalingLines(steps).join('\n'));
    save(resolve(values.json), { machine, results: results.map(described), scaling: steps });
    say(`The result is in ${values.json}`);
  } finally {
    removeAll();
  }
}

function described(result: ContestResult) {
  return { ...result, outcomes: outcomes(result.scenario.targets, result.medians, result.idle.p99) };
}

function save(file: string, result: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exitCode = 1;
});
