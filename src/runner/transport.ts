/**
 * The messages between Node-RED's process and a child process, both ways, in one place. They go through the launcher's
 * thread, which has the other end of the channel of `child_process.fork`; with structured clone both ways (between threads,
 * and over the channel with `serialization: 'advanced'`), so secrets never stand in arguments or environment variables. A
 * Buffer arrives as a Uint8Array.
 */

import type { Phase } from '../engine/report.js';
import type { Claim } from './claims.js';
import type { ExecutionProgress, ExecutionResult } from './execute.js';
import type { Answer, Question } from './questions.js';
import type { LogLimits } from './run-log.js';
import type { RunRequest } from './task.js';

/** What the parent says. */
export type ToChild =
  /** Prepare this run: resolve what it occupies, answer with `claims` and wait for `go`. */
  | { type: 'run'; request: RunRequest; logLimits: LogLimits }
  /** What the run occupies is its own now: begin. */
  | { type: 'go' }
  /** Clean up and end soon, as `aborted`. */
  | { type: 'abort' }
  | { type: 'ask'; id: number; question: Question };

/** What the child says. */
export type FromChild =
  /** Its event loop turns. Sent every {@link ALIVE_INTERVAL_MS}. */
  | { type: 'alive' }
  | { type: 'claims'; claims: Claim[] }
  | { type: 'phase'; phase: Phase }
  /** Only when something changed, at most every {@link PROGRESS_INTERVAL_MS}. */
  | { type: 'progress'; progress: ExecutionProgress }
  /** The last message of a run. */
  | { type: 'result'; result: ExecutionResult }
  | { type: 'answer'; id: number; answer: Answer };

/** ms. Output 3 speaks at most twice a second. */
export const PROGRESS_INTERVAL_MS = 500;
/** ms between two signs of life. */
export const ALIVE_INTERVAL_MS = 2000;
/**
 * Where a child keeps what V8 has compiled, for the next one. Source: "Module compile cache", Node.js documentation of
 * node:module.
 */
export const COMPILED_FOLDER_VARIABLE = 'NODE_COMPILE_CACHE';
