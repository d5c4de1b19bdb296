/**
 * Objects that are deleted or replaced before the time is over for which their class is paid for at least: nothing is lost
 * by it, but the rest of that time is charged. Counted, and one warning for all.
 */

import { CloudSyncError } from '../errors.js';
import type { StoredObject, StoreFeatures } from '../stores/store.js';

const DAY_MS = 86_400_000;

export class EarlyDeletions {
  private readonly byClass = new Map<string, { files: number; bytes: number; days: number }>();

  /** @param now ms since the epoch */
  constructor(
    private readonly minimumDays: StoreFeatures['minimumStorageDays'],
    private readonly now: () => number = Date.now,
  ) {}

  /** `object` as it was listed goes, or is replaced. */
  note({ storageClass, storedTime, size }: Pick<StoredObject, 'storageClass' | 'storedTime' | 'size'>): void {
    const days = storageClass === undefined ? undefined : this.minimumDays?.[storageClass];
    if (storageClass === undefined || days === undefined || storedTime === undefined) return;
    if (this.now() - storedTime >= days * DAY_MS) return;
    const sum = this.byClass.get(storageClass) ?? { files: 0, bytes: 0, days };
    sum.files++;
    sum.bytes += Math.max(0, size);
    this.byClass.set(storageClass, sum);
  }

  /** The one warning; undefined where there was no such object. */
  warning(isPreview: boolean): CloudSyncError | undefined {
    if (this.byClass.size === 0) return undefined;
    const sums = [...this.byClass].map(
      ([name, { files, bytes, days }]) =>
        `${files === 1 ? '1 file' : `${files} files`} (${bytes} bytes) of class ${name} younger than ${days} days`,
    );
    return new CloudSyncError(
      'EARLY_DELETION',
      `${sums.join(', ')} ${isPreview ? 'would be' : 'were'} deleted or replaced: the provider may charge the rest of the time`,
      {
        path: '',
        advice: 'Keep what changes often in a class without a minimum time, or delete less often.',
      },
    );
  }
}
