/** What is measured of one run, and how several are summed up. */

export interface LoopDelay {
  /** ms that Node-RED's event loop was late, beyond the resolution of the clock that watched it. */
  p50: number;
  p99: number;
}

export interface Measurement {
  wallMs: number;
  /** Of the client alone, user and system. */
  cpuMs: number;
  /** The part of it that Node-RED's own process spent; 0 for rclone. */
  nodeRedCpuMs: number;
  /** Of all the client's processes over what was there before. */
  peakBytes: number;
  /** As the server counted them, by operation. */
  requests: Record<string, number>;
  /** Of Node-RED meanwhile. */
  loop: LoopDelay;
  /** CPU time of the S3 server: what the machine spent for the far end. */
  serverCpuMs: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Each number is the median of its own; requests are those of the last run. */
export function medianOf(measurements: readonly Measurement[]): Measurement {
  const of = (pick: (measurement: Measurement) => number) => median(measurements.map(pick));
  return {
    wallMs: of(({ wallMs }) => wallMs),
    cpuMs: of(({ cpuMs }) => cpuMs),
    nodeRedCpuMs: of(({ nodeRedCpuMs }) => nodeRedCpuMs),
    peakBytes: of(({ peakBytes }) => peakBytes),
    requests: measurements.at(-1)!.requests,
    loop: { p50: of(({ loop }) => loop.p50), p99: of(({ loop }) => loop.p99) },
    serverCpuMs: of(({ serverCpuMs }) => serverCpuMs),
  };
}
