/** What the ways of sending one file have in common. */

import type { OpenedObject, StoredObject, WriteOptions } from '../stores/store.js';
import type { RunContext } from './run-context.js';

export interface TransferJob {
  /** Relative, rclone's standard name: for people, filters and logs. */
  path: string;
  sortKey: string;
  source: StoredObject;
  /** Where it goes. */
  destinationKey: string;
  /** What is there now. */
  present?: StoredObject;
}

/** Counts bytes towards the run's progress; an attempt that begins anew counts nothing twice. */
export type CountBytes = (bytes: number, startsAnew?: boolean) => void;

/** What one way of sending is given. */
export interface Sending {
  run: RunContext;
  job: TransferJob;
  opened: OpenedObject;
  count: CountBytes;
  options: WriteOptions;
}

export interface Sent {
  destination: StoredObject;
  md5: string;
}
