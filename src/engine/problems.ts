/** The errors and warnings of a run: all counted, a bounded number kept for the report. */

import { asCloudSyncError, type CloudSyncError, type ErrorRecord } from '../errors.js';

const KEPT = 1_000;

export class Problems {
  readonly errors: ErrorRecord[] = [];
  readonly warnings: ErrorRecord[] = [];
  errorCount = 0;

  constructor(private readonly onProblem: (level: 'error' | 'warning', error: CloudSyncError) => void) {}

  get any(): boolean {
    return this.errorCount > 0;
  }

  /** The run will be a failure, and nothing is deleted any more. */
  error(thrown: unknown, path?: string): void {
    const error = asCloudSyncError(thrown);
    if (path !== undefined) error.path = path;
    this.errorCount++;
    if (this.errors.length < KEPT) this.errors.push(error.toRecord());
    this.onProblem('error', error);
  }

  /** Gives what forgets all that comes after now. */
  mark(): () => void {
    const [errors, warnings, count] = [this.errors.length, this.warnings.length, this.errorCount];
    return () => {
      this.errors.length = errors;
      this.warnings.length = warnings;
      this.errorCount = count;
    };
  }

  /** Worth saying, no failure. */
  warning(thrown: unknown, path?: string): void {
    const error = asCloudSyncError(thrown);
    if (path !== undefined) error.path = path;
    if (this.warnings.length < KEPT) this.warnings.push(error.toRecord());
    this.onProblem('warning', error);
  }
}
