/** What is measured, and what is aimed at. */

import type { DataSet } from './data.js';

/** Ours divided by rclone's, at most. */
export interface Targets {
  /** Wall time beside rclone as it comes. */
  defaults?: number;
  /** Wall time beside rclone with the flags that are best for the work. */
  best?: number;
  /** CPU time beside rclone at its best. */
  cpu?: number;
  /** MiB of all our processes over an idle Node-RED. */
  memoryMib?: number;
  /** Requests that the server saw. */
  requests?: number;
}

export interface Scenario {
  name: string;
  title: string;
  kind: 'push' | 'pull' | 'unchanged';
  data: DataSet;
  latencyMs: number;
  /** rclone's flags at its best. */
  best: readonly string[];
  encrypted?: boolean;
  /** Only where it is asked for by name: it takes many minutes. */
  isLong?: boolean;
  targets: Targets;
}

const KIB = 1024;
const GIB = 1024 * 1024 * 1024;
const MANY_SMALL = ['--transfers', '32', '--s3-no-head', '--fast-list'];
const MANY_AT_A_DISTANCE = ['--transfers', '64', '--checkers', '64', '--s3-no-head', '--fast-list'];
const LARGE = ['--s3-chunk-size', '16M', '--s3-upload-concurrency', '4', '--s3-no-head'];
const SIZE_ALONE = ['--size-only', '--fast-list'];

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'push-small',
    title: 'push 10,000 x 4 KiB',
    kind: 'push',
    data: { files: 10_000, size: 4 * KIB },
    latencyMs: 0,
    best: MANY_SMALL,
    targets: { defaults: 0.6, best: 0.9, cpu: 0.7 },
  },
  {
    name: 'push-distant',
    title: 'push 1,000 x 4 KiB, 30 ms away',
    kind: 'push',
    data: { files: 1_000, size: 4 * KIB },
    latencyMs: 30,
    best: MANY_AT_A_DISTANCE,
    targets: { defaults: 0.08, best: 1.1 },
  },
  {
    name: 'pull-small',
    title: 'pull 10,000 x 4 KiB',
    kind: 'pull',
    data: { files: 10_000, size: 4 * KIB },
    latencyMs: 0,
    best: MANY_SMALL,
    targets: { defaults: 1, best: 1 },
  },
  {
    name: 'pull-distant',
    title: 'pull 10,000 x 4 KiB, 30 ms away',
    kind: 'pull',
    data: { files: 10_000, size: 4 * KIB },
    latencyMs: 30,
    best: MANY_AT_A_DISTANCE,
    targets: { defaults: 0.1, best: 1.1 },
  },
  {
    name: 'push-large',
    title: 'push 1 GiB',
    kind: 'push',
    data: { files: 1, size: GIB },
    latencyMs: 0,
    best: LARGE,
    targets: { defaults: 0.7, best: 0.9, cpu: 0.6, memoryMib: 150 },
  },
  {
    name: 'pull-large',
    title: 'pull 1 GiB',
    kind: 'pull',
    data: { files: 1, size: GIB },
    latencyMs: 0,
    best: LARGE,
    targets: { defaults: 1, best: 1, cpu: 0.6, memoryMib: 150 },
  },
  {
    name: 'unchanged',
    title: '200,000 unchanged',
    kind: 'unchanged',
    data: { files: 200_000, size: 16 },
    latencyMs: 0,
    best: SIZE_ALONE,
    targets: { defaults: 0.06, best: 0.8, requests: 210 },
  },
  {
    name: 'unchanged-distant',
    title: '1,000 unchanged, 30 ms away',
    kind: 'unchanged',
    data: { files: 1_000, size: 4 * KIB },
    latencyMs: 30,
    best: SIZE_ALONE,
    targets: { defaults: 0.05, best: 1.5 },
  },
  {
    name: 'encrypted-push',
    title: 'push 1 GiB, encrypted',
    kind: 'push',
    data: { files: 1, size: GIB },
    latencyMs: 0,
    best: LARGE,
    encrypted: true,
    targets: { defaults: 1 },
  },
  {
    name: 'encrypted-pull',
    title: 'pull 1 GiB, encrypted',
    kind: 'pull',
    data: { files: 1, size: GIB },
    latencyMs: 0,
    best: LARGE,
    encrypted: true,
    targets: { defaults: 1 },
  },
  {
    name: 'unchanged-million',
    title: '1,000,000 unchanged',
    kind: 'unchanged',
    data: { files: 1_000_000, size: 16 },
    latencyMs: 0,
    best: SIZE_ALONE,
    isLong: true,
    targets: { memoryMib: 250 },
  },
];

/** Numbers of files of the table that shows how cost grows. */
export const SCALING_STEPS = [1_000, 10_000, 100_000, 1_000_000];

/** The same scenario with a tenth of what takes long, to see that everything works. */
export function quick(scenario: Scenario): Scenario {
  const { files, size } = scenario.data;
  if (size === GIB) return smaller(scenario, { files, size: GIB / 4 });
  return files > 10_000 ? smaller(scenario, { files: files / 10, size }) : scenario;
}

function smaller(scenario: Scenario, data: DataSet): Scenario {
  const amount = data.files > 1 ? `${data.files} files` : `${data.size >> 20} MiB`;
  return { ...scenario, data, title: `${scenario.title} (shortened: ${amount})` };
}
