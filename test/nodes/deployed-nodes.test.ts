import assert from 'node:assert/strict';
import type { NodeAPI } from 'node-red';
import { deployedTaskIds } from '../../nodes/deployed-nodes.js';

interface Saved {
  id: string;
  type: string;
  z?: string;
}

function idsIn(...saved: Saved[]): string[] {
  const eachNode = (callback: (node: Saved) => void) => saved.forEach(callback);
  return deployedTaskIds({ nodes: { eachNode } } as unknown as NodeAPI).sort();
}

describe('deployed cloud-sync nodes', () => {
  const tab = { id: 'tab', type: 'tab' };

  it('are those on tabs, and no other nodes', () => {
    assert.deepEqual(
      idsIn(tab, { id: 'a', type: 'cloud-sync', z: 'tab' }, { id: 'b', type: 'cloud-restore', z: 'tab' }),
      ['a'],
    );
  });

  it('are there for each instance of a subflow, nested ones too, under the ids that Node-RED gives them', () => {
    assert.deepEqual(
      idsIn(
        tab,
        { id: 'inner', type: 'subflow' },
        { id: 'outer', type: 'subflow' },
        { id: 'task', type: 'cloud-sync', z: 'inner' },
        { id: 'i', type: 'subflow:inner', z: 'outer' },
        { id: 'one', type: 'subflow:outer', z: 'tab' },
        { id: 'two', type: 'subflow:outer', z: 'tab' },
        { id: 'alone', type: 'subflow:inner', z: 'tab' },
      ),
      ['alone-task', 'one-i-task', 'two-i-task'],
    );
  });

  it('are none where a subflow has no instance, or is said to hold itself', () => {
    const subflow = { id: 's', type: 'subflow' };
    const task = { id: 'task', type: 'cloud-sync', z: 's' };
    assert.deepEqual(idsIn(subflow, task), []);
    assert.deepEqual(idsIn(subflow, task, { id: 'i', type: 'subflow:s', z: 's' }), []);
  });
});
