import type { Operation } from '../src/engine/report.js';
import type { NodeRunState } from '../src/runner/runner.js';

/** What the sidebar shows of a node that runs. */
export interface DeployedNode {
  id: string;
  type: string;
  name: string;
  operation: Operation;
  schedule: string;
  enabled: boolean;
  /** ms since the epoch; null: no schedule, or off. */
  nextRun: number | null;
  /** No success for longer than `staleAfter`. */
  stale: boolean;
  state: NodeRunState;
  /** Started in the sidebar, for this task; no node on a flow. */
  ofTask?: string;
}
