/** A Node-RED flow runtime with the built nodes of this package, as node-red-node-test-helper runs it. */

import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Node, NodeMessage } from 'node-red';
import helper from 'node-red-node-test-helper';
import type { Runner } from '../../src/runner/runner.js';

const load = createRequire(join(process.cwd(), 'package.json'));
const DIST = join(process.cwd(), 'dist', 'nodes');

export const NODES = ['cloud-credential', 'cloud-sync', 'cloud-restore', 'cloud-verify'].map(
  (name) => load(join(DIST, name, `${name}.js`)) as never,
);
export const SIDEBAR = load(join(DIST, 'sidebar', 'sidebar.js')) as never;

interface Runtime {
  replaceRunner(runner: Pick<Runner, keyof Runner> | undefined): void;
}
export const { replaceRunner } = load(join(DIST, 'runtime.js')) as Runtime;

helper.init(load.resolve('node-red'));

export type FlowNode = Record<string, unknown> & { id: string; type: string };
/** Any message on its way: tests look into it. */
export type Message = NodeMessage & { payload: Record<string, unknown> & { status?: string } };

export const CREDENTIAL: FlowNode = {
  id: 'credential',
  type: 'cloud-credential',
  name: 'Home',
  provider: 's3',
  endpoint: 'http://127.0.0.1:9',
};
export const SECRETS = {
  credential: { accessKeyId: 'AKID', secretAccessKey: 'the-hidden-secret' },
};
export const TASK: FlowNode = {
  id: 'task',
  z: 'flow',
  type: 'cloud-sync',
  name: 'Photos',
  credential: 'credential',
  path: '/srv/photos',
  bucket: 'family',
  folder: 'photos',
  wires: [['success'], ['failure'], ['progress']],
};
export const HELPERS: FlowNode[] = [
  { id: 'flow', type: 'tab', label: 'Flow' },
  ...['success', 'failure', 'progress', 'caught', 'completed'].map((id) => ({
    id,
    z: 'flow',
    type: 'helper',
  })),
  { id: 'catch-all', z: 'flow', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
];

export function completeNode(scope: string[]): FlowNode {
  return { id: 'complete-all', z: 'flow', type: 'complete', scope, wires: [['completed']] };
}

export function node(id: string): Node {
  const found = helper.getNode(id);
  if (found === null || found === undefined) throw new Error(`no node ${id}`);
  return found;
}

/** Messages that arrive at a helper node from now on, in order. */
export class Inbox {
  readonly messages: Message[] = [];
  private wake: (() => void) | undefined;

  constructor(readonly id: string) {
    node(id).on('input', (message) => {
      this.messages.push(message as unknown as Message);
      this.wake?.();
    });
  }

  /** The next one, waiting for it. */
  async next(): Promise<Message> {
    while (this.messages.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`nothing arrived at ${this.id}`)), 60_000);
        this.wake = () => {
          clearTimeout(limit);
          resolve();
        };
      });
    }
    return this.messages.shift()!;
  }
}

export { helper };
