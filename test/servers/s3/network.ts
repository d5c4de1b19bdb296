/** The line between client and server; every property may be changed at any time. */
export class Network {
  /** ms added before each answer. */
  latencyMs = 0;
  /** Bytes per second over all connections and both directions together; 0: no limit. */
  bandwidth = 0;
  /** ms after which a socket on which nothing moves is closed; 0: never. */
  idleTimeoutMs = 0;
  /** ms after which a request is cut off, however far it got, as tunnels do; 0: never. */
  maxRequestMs = 0;

  private freeAt = 0;

  /** Takes `bytes` of the shared bandwidth; ms to wait before going on. */
  takeBandwidth(bytes: number): number {
    if (this.bandwidth <= 0) return 0;
    const now = performance.now();
    this.freeAt = Math.max(now, this.freeAt) + (bytes * 1000) / this.bandwidth;
    return this.freeAt - now;
  }
}
