/** What is measured, and what is aimed at. */

import type { DataSet } from './data.js';
import type { Provider } from './far-end.js';

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

/** One line of the table below. */
export interface Scenario {
  name: string;
  kind: 'push' | 'pull' | 'unchanged';
  data: DataSet;
  targets: Targets;
  /** ms that the server is away; default: none. */
  latencyMs?: number;
  encrypted?: boolean;
  /** Only where it is asked for by name: it takes many minutes. */
  isLong?: boolean;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const SMALL: DataSet = { files: 10_000, size: 4 * KIB };
const FEW: DataSet = { files: 1_000, size: 4 * KIB };
const LARGE: DataSet = { files: 1, size: GIB };
const TINY: DataSet = { files: 200_000, size: 16 };
const MILLION: DataSet = { files: 1_000_000, size: 16 };

export const SCENARIOS: readonly Scenario[] = [
  { name: 'push-small', kind: 'push', data: SMALL, targets: { defaults: 0.6, best: 0.9, cpu: 0.7 } },
  { name: 'push-distant', kind: 'push', data: FEW, latencyMs: 30, targets: { defaults: 0.08, best: 1.1 } },
  { name: 'pull-small', kind: 'pull', data: SMALL, targets: { defaults: 1, best: 1 } },
  { name: 'pull-distant', kind: 'pull', data: SMALL, latencyMs: 30, targets: { defaults: 0.1, best: 1.1 } },
  {
    name: 'push-large',
    kind: 'push',
    data: LARGE,
    targets: { defaults: 0.7, best: 0.9, cpu: 0.6, memoryMib: 150 },
  },
  {
    name: 'pull-large',
    kind: 'pull',
    data: LARGE,
    targets: { defaults: 1, best: 1, cpu: 0.6, memoryMib: 150 },
  },
  {
    name: 'unchanged',
    kind: 'unchanged',
    data: TINY,
    targets: { defaults: 0.06, best: 0.8, requests: 210 },
  },
  {
    name: 'unchanged-distant',
    kind: 'unchanged',
    data: FEW,
    latencyMs: 30,
    targets: { defaults: 0.05, best: 1.5 },
  },
  { name: 'encrypted-push', kind: 'push', data: LARGE, encrypted: true, targets: { defaults: 1 } },
  { name: 'encrypted-pull', kind: 'pull', data: LARGE, encrypted: true, targets: { defaults: 1 } },
  {
    name: 'unchanged-million',
    kind: 'unchanged',
    data: MILLION,
    isLong: true,
    targets: { memoryMib: 250 },
  },
];

/** Numbers of files of the table that shows how cost grows. */
export const SCALING_STEPS = [1_000, 10_000, 100_000, 1_000_000];

/** Of an encrypted scenario: the plain one beside which encryption's cost is seen, and the share it may cost. */
export const ENCRYPTION_COSTS_AT_MOST = 0.4;
export const PLAIN_OF: Readonly<Record<string, string>> = {
  'encrypted-push': 'push-large',
  'encrypted-pull': 'pull-large',
};

/** `push 10,000 x 4 KiB, 30 ms away`. */
export function titleOf({ kind, data, latencyMs, encrypted }: Scenario): string {
  const count = data.files.toLocaleString('en');
  const what = data.files === 1 ? amount(data.size) : `${count} x ${amount(data.size)}`;
  return [
    kind === 'unchanged' ? `${count} unchanged` : `${kind} ${what}`,
    ...(latencyMs === undefined ? [] : [`${latencyMs} ms away`]),
    ...(encrypted === true ? ['encrypted'] : []),
  ].join(', ');
}

function amount(bytes: number): string {
  if (bytes >= GIB) return `${bytes / GIB} GiB`;
  if (bytes >= MIB) return `${bytes / MIB} MiB`;
  return bytes >= KIB ? `${bytes / KIB} KiB` : `${bytes} bytes`;
}

/** rclone's flags that suit large files best. */
const LARGE_FLAGS: Record<Provider, readonly string[]> = {
  s3: ['--s3-chunk-size', '16M', '--s3-upload-concurrency', '4'],
  'azure-blob': ['--azureblob-chunk-size', '16M', '--azureblob-upload-concurrency', '4'],
  'google-cloud-storage': [],
};

/** rclone's flags at its best. */
export function bestFlags({ kind, data, latencyMs }: Scenario, provider: Provider): readonly string[] {
  if (kind === 'unchanged') return ['--size-only', '--fast-list'];
  const noHead = provider === 's3' ? ['--s3-no-head'] : [];
  if (data.files === 1) return [...LARGE_FLAGS[provider], ...noHead];
  const parallel =
    latencyMs === undefined ? ['--transfers', '32'] : ['--transfers', '64', '--checkers', '64'];
  return [...parallel, ...noHead, '--fast-list'];
}

/** The same scenario with a tenth of what takes long, to see that everything works. */
export function quick(scenario: Scenario): Scenario {
  const { files, size } = scenario.data;
  if (size === GIB) return { ...scenario, data: { files, size: GIB / 4 } };
  return files > 10_000 ? { ...scenario, data: { files: files / 10, size } } : scenario;
}
