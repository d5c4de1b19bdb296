/**
 * Ends what is running when its signal fires, with one listener for each signal: most requests of a run share one, and
 * adding and removing a listener for each of them costs more than all else about it.
 */

/** What can be ended. */
interface Running {
  abort(): void;
}

export class AbortListeners {
  readonly #groups = new Map<AbortSignal, Group>();

  add(signal: AbortSignal, running: Running): void {
    let group = this.#groups.get(signal);
    if (group === undefined) {
      group = new Group();
      this.#groups.set(signal, group);
      signal.addEventListener('abort', group.abort);
    }
    group.members.add(running);
  }

  delete(signal: AbortSignal, running: Running): void {
    const group = this.#groups.get(signal);
    if (group === undefined) return;
    group.members.delete(running);
    if (group.members.size > 0) return;
    signal.removeEventListener('abort', group.abort);
    this.#groups.delete(signal);
  }
}

class Group {
  readonly members = new Set<Running>();

  readonly abort = (): void => {
    for (const running of [...this.members]) running.abort();
  };
}
