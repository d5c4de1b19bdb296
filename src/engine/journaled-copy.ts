/**
 * Copies that the provider makes on its side. A large one is made in parts, by an upload of its own: written down before
 * it begins, so that the next run removes what one that was killed had left of it.
 */

import type { RunContext } from './run-context.js';

/**
 * Carries out `copy`, which makes an object `key` at the destination and tells through its argument when it begins an
 * upload for that. `path` is for the log of a run that cleans up. Where the copy fails, what it may have left is looked
 * for at the end of this run or by the next one.
 */
export async function journaledCopy<T>(
  run: RunContext,
  { key, path }: { key: string; path: string },
  copy: (onUploadBegins: () => void) => Promise<T>,
): Promise<T> {
  const { journal } = run;
  const { store } = run.destination;
  let isOnlyOne = false;
  const copied = await copy(() => {
    if (journal === undefined || store.abortUpload === undefined) return;
    isOnlyOne = !journal.unanswered.some((begun) => begun.key === key);
    journal.beginning(key, path, store.serverTime?.() ?? Date.now());
  });
  if (isOnlyOne) journal?.answered(key);
  return copied;
}
