/**
 * Tells the end of Node-RED from a deploy: to a node both look alike, it is closed and not removed. But runs outlive a
 * deploy and must not outlive Node-RED.
 */

/** On these Node-RED's own program stops, and on the message `shutdown` of its parent. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGBREAK'];
/** ms after a signal within which the closing of nodes is its consequence. Node-RED closes them at once. */
const CONSEQUENCE_MS = 2000;

let lastWish = Number.NEGATIVE_INFINITY;
let isWatching = false;

function onWish(): void {
  lastWish = performance.now();
}

/**
 * Begins to watch. Only signals somebody else listens to: the first listener changes what a signal does. Call it when
 * Node-RED has started; further calls do nothing.
 */
export function watchForStop(): void {
  if (isWatching) return;
  isWatching = true;
  for (const signal of SIGNALS) {
    // First of all listeners, because Node-RED's own closes the nodes.
    if (process.listenerCount(signal) > 0) process.prependListener(signal, onWish);
  }
  process.prependListener('message', (message) => {
    if (message === 'shutdown') onWish();
  });
}

/** Whether nodes that are closed now are closed because Node-RED ends. */
export function isNodeRedStopping(): boolean {
  return performance.now() - lastWish < CONSEQUENCE_MS;
}
