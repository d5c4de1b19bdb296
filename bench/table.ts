/** What is printed. */

import type { Contestant, ContestResult, ScalingStep } from './contest.js';
import type { Measurement } from './measurement.js';
import { bestFlags, ENCRYPTION_COSTS_AT_MOST, PLAIN_OF, type Targets, titleOf } from './scenarios.js';

const NAMES: Record<Contestant, string> = {
  ours: 'this package',
  defaults: 'rclone, defaults',
  best: 'rclone, at its best',
};
const MIB = 1024 * 1024;

const seconds = (ms: number) => (ms / 1000).toFixed(2);
const mib = (bytes: number) => String(Math.round(bytes / MIB));

function requestsOf({ requests }: Measurement): string {
  const total = Object.values(requests).reduce((sum, count) => sum + count, 0);
  const kinds = Object.entries(requests)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${count} ${kind}`);
  if (kinds.length === 0) return '';
  return kinds.length > 1 ? `${total}: ${kinds.join(', ')}` : kinds[0]!;
}

/** Columns padded to the widest cell. */
function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

export function contestLines({ scenario, provider, idle, medians }: ContestResult): string[] {
  const header = [
    '',
    'wall s',
    'CPU s',
    'in Node-RED',
    'peak MiB',
    'loop p50/p99 ms',
    'server CPU s',
    'requests',
  ];
  const rows = Object.entries(medians).map(([contestant, measured]) => [
    NAMES[contestant as Contestant],
    seconds(measured.wallMs),
    seconds(measured.cpuMs),
    seconds(measured.nodeRedCpuMs),
    mib(measured.peakBytes),
    `${measured.loop.p50.toFixed(1)}/${measured.loop.p99.toFixed(1)}`,
    seconds(measured.serverCpuMs),
    requestsOf(measured),
  ]);
  return [
    `${scenario.name}: ${titleOf(scenario)}; Node-RED's loop idle ${idle.p50.toFixed(1)}/${idle.p99.toFixed(1)} ms`,
    ...(medians.best === undefined
      ? []
      : [`  rclone at its best: ${bestFlags(scenario, provider).join(' ')}`]),
    ...aligned([header, ...rows]).map((line) => `  ${line}`),
    ...outcomes(scenario.targets, medians, idle.p99).map(
      ({ what, value, limit }) =>
        `  ${limit === undefined || value <= limit ? 'ok  ' : 'MISS'} ${what}: ${value.toFixed(2)}${limit === undefined ? '' : ` (at most ${limit})`}`,
    ),
  ];
}

export interface Outcome {
  what: string;
  value: number;
  limit?: number;
}

/** What was reached of what is aimed at. */
export function outcomes(
  targets: Targets,
  { ours, defaults, best }: ContestResult['medians'],
  idleP99: number,
): Outcome[] {
  const found: Outcome[] = [];
  if (ours === undefined) return found;
  if (defaults !== undefined) {
    found.push({ what: 'wall : rclone', value: ours.wallMs / defaults.wallMs, limit: targets.defaults });
  }
  if (best !== undefined) {
    found.push({ what: 'wall : rclone at its best', value: ours.wallMs / best.wallMs, limit: targets.best });
    found.push({ what: 'CPU : rclone at its best', value: ours.cpuMs / best.cpuMs, limit: targets.cpu });
  }
  if (targets.memoryMib !== undefined) {
    found.push({ what: 'MiB over idle', value: ours.peakBytes / MIB, limit: targets.memoryMib });
  }
  if (targets.requests !== undefined) {
    const total = Object.values(ours.requests).reduce((sum, count) => sum + count, 0);
    found.push({ what: 'requests', value: total, limit: targets.requests });
  }
  found.push({
    what: "Node-RED's loop, p99 over idle, ms",
    value: Math.max(0, ours.loop.p99 - idleP99),
    limit: 5,
  });
  return found;
}

export function scalingLines(steps: readonly ScalingStep[]): string[] {
  const header = [
    'files',
    'push s',
    'ratio',
    'peak MiB',
    'unchanged s',
    'ratio',
    'peak MiB',
    'CPU s',
    'requests',
  ];
  const ratio = (now: number, before: number | undefined) =>
    before === undefined ? '' : (now / before).toFixed(1);
  const rows = steps.map(({ files, push, unchanged }, index) => [
    files.toLocaleString('en'),
    seconds(push.wallMs),
    ratio(push.wallMs, steps[index - 1]?.push.wallMs),
    mib(push.peakBytes),
    seconds(unchanged.wallMs),
    ratio(unchanged.wallMs, steps[index - 1]?.unchanged.wallMs),
    mib(unchanged.peakBytes),
    seconds(unchanged.cpuMs),
    requestsOf(unchanged),
  ]);
  return [
    'scaling: 10 times the files, at most 11 times the time',
    ...aligned([header, ...rows]).map((line) => `  ${line}`),
  ];
}

/** The share of throughput that encryption costs, where a large file was measured with and without it. */
export function encryptionLines(results: readonly ContestResult[]): string[] {
  return results.flatMap(({ scenario: { name }, medians }) => {
    const plain = results.find(({ scenario }) => scenario.name === PLAIN_OF[name]);
    return Object.entries(medians).flatMap(([contestant, measured]) => {
      const without = plain?.medians[contestant as Contestant];
      if (without === undefined) return [];
      const share = Math.max(0, 1 - without.wallMs / measured.wallMs);
      const cpu = `${seconds(measured.cpuMs - without.cpuMs)} s CPU more`;
      const verdict = contestant !== 'ours' ? '    ' : share < ENCRYPTION_COSTS_AT_MOST ? 'ok  ' : 'MISS';
      const limit = contestant === 'ours' ? ` (less than ${ENCRYPTION_COSTS_AT_MOST * 100} %)` : '';
      const who = NAMES[contestant as Contestant];
      return [
        `  ${verdict} ${name}, ${who}: encryption costs ${Math.round(share * 100)} % of throughput${limit}, ${cpu}`,
      ];
    });
  });
}
