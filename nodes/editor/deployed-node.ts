import type { NodeRunState } from '../../src/runner/runner.js';

/** A node that runs, as the server describes it. */
export interface DeployedNode {
  id: string;
  type: string;
  name: string;
  operation: 'sync' | 'restore' | 'verify';
  schedule: string;
  enabled: boolean;
  nextRun: number | null;
  stale: boolean;
  state: NodeRunState;
  /** Started in the sidebar, for this task. */
  ofTask?: string;
}
