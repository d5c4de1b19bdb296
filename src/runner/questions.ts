/** What the editor can ask, and what is answered. */

import type { ErrorRecord } from '../errors.js';
import type { Bucket, CredentialCheck } from '../stores/store.js';
import type { BucketReport } from '../stores/verify-bucket.js';
import type { SheetTask } from './recovery-sheet.js';
import type { LogPage, LogQuery } from './run-log.js';
import type { LocalScan } from './scan-local.js';
import type { TaskCredential, TaskSettings } from './task.js';

export type Question =
  | { kind: 'check'; credential: TaskCredential }
  | { kind: 'listBuckets'; credential: TaskCredential }
  | { kind: 'createBucket'; credential: TaskCredential; bucket: string; region?: string }
  | {
      /** Tries everything a task needs, with a probe of our own. */
      kind: 'checkBucket';
      credential: TaskCredential;
      bucket: string;
      /** Of the task: where the key may not write above it, the probe goes there. */
      folder?: string;
    }
  | {
      kind: 'listFolder';
      credential: TaskCredential;
      bucket: string;
      /** Prefix; '' for the top. */
      folder: string;
      /** `next` of the answer before. */
      after?: string;
      /** 1 to 1,000 (default). */
      limit?: number;
      /** ms since the epoch: the folder as it was then. */
      asOf?: number;
    }
  | {
      /** A folder of a task as people know it, encrypted names in plain. */
      kind: 'listTaskFolder';
      credential: TaskCredential;
      task: TaskSettings;
      folder: string;
      after?: string;
      limit?: number;
      asOf?: number;
    }
  | { kind: 'scanLocal'; path: string; include: string[]; exclude: string[] }
  | { kind: 'recoverySheet'; credential: TaskCredential; task: SheetTask }
  | { kind: 'beginSignIn'; appKey: string; endpoint?: string }
  | {
      /** Dropbox: the code that the page of `beginSignIn` has shown, for a refresh token. */
      kind: 'finishSignIn';
      appKey: string;
      code: string;
      codeVerifier: string;
      endpoint?: string;
      caCertificate?: string;
    }
  | { kind: 'listLocalFolder'; path: string; after?: string; limit?: number }
  | { kind: 'log'; dataFolder: string; runId: string; query: LogQuery };

export type QuestionKind = Question['kind'];

/** One line of a folder. */
export interface FolderEntry {
  /** Last segment, without slash. */
  name: string;
  kind: 'file' | 'folder';
  /** Bytes; 0 for folders. */
  size: number;
  /** ms since the epoch. */
  modifiedAt?: number;
  storageClass?: string;
}

export interface FolderPage {
  entries: FolderEntry[];
  /** Ask again with `after` set to this for more; undefined: that was all. */
  next?: string;
}

/** What is answered to each kind of question. */
export interface AnswerValues {
  check: CredentialCheck;
  /** `complete` false: there are more than 10,000. */
  listBuckets: { buckets: Bucket[]; complete: boolean };
  createBucket: Record<string, never>;
  checkBucket: BucketReport;
  listFolder: FolderPage;
  listTaskFolder: FolderPage;
  scanLocal: LocalScan;
  /** Holds secrets. */
  recoverySheet: { config: string; remote: string };
  /** Both hold secrets: never logged. */
  beginSignIn: { url: string; codeVerifier: string };
  finishSignIn: { refreshToken: string; accountId?: string };
  listLocalFolder: FolderPage;
  log: LogPage;
}

export type Answer<Value = unknown> = { ok: true; value: Value } | { ok: false; error: ErrorRecord };
export type AnswerTo<Q extends Question> = Answer<AnswerValues[Q['kind']]>;
