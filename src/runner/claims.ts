/**
 * What a run occupies: its local folder and its remote prefix, each for reading or for writing. Two runs whose
 * claims overlap wait for each other, unless both only read.
 */

import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Direction, TransferMode } from '../engine/report.js';
import { type ProviderDescription, providerById } from '../stores/registry.js';
import type { CredentialConfig, CredentialSecrets } from '../stores/store.js';
import type { RunRequest } from './task.js';

/** One tree of files, on this machine or at a provider. */
export interface Claim {
  /** Which store: `local`, or the identity of a bucket. Claims of different roots never overlap. */
  root: string;
  /** Where in it; a claim covers everything below. */
  segments: string[];
  write: boolean;
  /** For people: the path, or bucket and prefix. */
  label: string;
}

/** What a run does, after a restore (or what verifies one) has turned its task around. */
export interface EffectiveRun {
  direction: Direction;
  transferMode: TransferMode;
  /** Local folder, absolute. */
  path: string;
  dryRun: boolean;
}

/** Direction, mode and folder that `request` really has: a restore reverses its task's direction. */
export function effectiveRun(request: RunRequest): EffectiveRun {
  const { operation, task, restore } = request;
  if (restore === undefined) {
    return {
      direction: task.direction,
      transferMode: task.transferMode,
      path: task.path,
      dryRun: operation === 'sync' && task.dryRun,
    };
  }
  return {
    direction: task.direction === 'push' ? 'pull' : 'push',
    transferMode: restore.transferMode,
    path: restore.path,
    dryRun: operation === 'restore' && restore.dryRun,
  };
}

/** Whether the two can't go on at the same time: one lies in the other (segment by segment) and one of them writes. */
export function claimsOverlap(first: Claim, second: Claim): boolean {
  if (first.root !== second.root || !(first.write || second.write)) return false;
  const shared = Math.min(first.segments.length, second.segments.length);
  for (let index = 0; index < shared; index++) {
    if (first.segments[index] !== second.segments[index]) return false;
  }
  return true;
}

/** The first of `first` that overlaps one of `second`. */
export function findOverlap(first: readonly Claim[], second: readonly Claim[]): Claim | undefined {
  return first.find((one) => second.some((other) => claimsOverlap(one, other)));
}

/**
 * Everything `request` occupies. Asks the file system synchronously (links are followed, so that two names of one
 * folder are one claim), and a dead network mount can hang it: only for the child process.
 */
export function claimsOf(request: RunRequest): Claim[] {
  const { task } = request;
  const { direction, transferMode, path, dryRun } = effectiveRun(request);
  const readsOnly = request.operation === 'verify' || dryRun;
  const moves = transferMode === 'move';
  const writesLocal = !readsOnly && (direction === 'pull' || moves);
  const writesRemote = !readsOnly && (direction === 'push' || moves);
  const claims = [localClaim(path, writesLocal), remoteClaim(request, task.folder, writesRemote)];
  // What is replaced goes to the backup folder of the destination.
  if (task.backupFolder !== '' && !readsOnly) {
    claims.push(
      direction === 'push'
        ? remoteClaim(request, task.backupFolder, true)
        : localClaim(resolve(path, task.backupFolder), true),
    );
  }
  return claims;
}

function localClaim(path: string, write: boolean): Claim {
  const real = realpathOfExistingPart(resolve(path));
  const ignoresCase = process.platform === 'darwin' || process.platform === 'win32';
  return {
    root: 'local',
    segments: segmentsOf(ignoresCase ? real.toLowerCase() : real, /[/\\]/),
    write,
    label: path,
  };
}

/** A pull makes its folder, so the last segments may not be there yet. */
function realpathOfExistingPart(path: string): string {
  const missing: string[] = [];
  let current = path;
  for (;;) {
    try {
      return join(realpathSync(current), ...missing);
    } catch {
      const parent = dirname(current);
      if (parent === current) return path;
      missing.unshift(basename(current));
      current = parent;
    }
  }
}

function remoteClaim(request: RunRequest, prefix: string, write: boolean): Claim {
  const { credential, bucket } = request.task;
  const provider = providerById(credential.provider);
  // Without buckets means Dropbox, whose paths ignore case.
  const compared = provider.hasBuckets ? prefix : prefix.toLowerCase();
  return {
    root: remoteIdentity(provider, credential.config, credential.secrets, bucket),
    segments: segmentsOf(compared, '/'),
    write,
    label: [bucket, ...segmentsOf(prefix, '/')].filter((part) => part !== '').join('/') || provider.label,
  };
}

/** The same for every credential that reaches the same bucket. */
function remoteIdentity(
  provider: ProviderDescription,
  config: CredentialConfig,
  secrets: CredentialSecrets,
  bucket: string,
): string {
  const identity = provider.identity?.(config, secrets, bucket);
  const endpoint = String(config.endpoint ?? '').replace(/\/+$/, '');
  return identity ?? `${provider.id}://${endpoint.toLowerCase()}/${bucket}`;
}

function segmentsOf(path: string, separator: string | RegExp): string[] {
  return path.split(separator).filter((segment) => segment !== '' && segment !== '.');
}
