import { setTimeout as delay } from 'node:timers/promises';

/** Polls until `condition` gives something that is true; what it gave. Fails after `timeoutMs`, with the name of what did not come. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  timeoutMs = 20_000,
): Promise<NonNullable<T>> {
  const start = performance.now();
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() - start > timeoutMs) throw new Error(`Waited in vain: ${what}`);
    await delay(10);
  }
}
