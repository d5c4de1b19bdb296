/** Which cloud-sync nodes there are, those in subflows too. */

import type { NodeAPI } from 'node-red';

interface Saved {
  id: string;
  type: string;
  z?: string;
}

/**
 * Ids of all cloud-sync nodes, disabled ones too. A node in a subflow is there once for each of its instances, under
 * `<id of the instance>-<id of the node>` (Node-RED, `createNodeInSubflow` in flows/Subflow.js).
 */
export function deployedTaskIds(RED: Pick<NodeAPI, 'nodes'>): string[] {
  const all: Saved[] = [];
  RED.nodes.eachNode((node) => all.push(node as Saved));
  const subflows = new Set(all.filter(({ type }) => type === 'subflow').map(({ id }) => id));
  /** @param within subflows that lead here: one can't hold itself, but a flow file may say so */
  const idsOf = ({ id, z }: Saved, within: readonly string[] = []): string[] => {
    if (z === undefined || !subflows.has(z)) return [id];
    if (within.includes(z)) return [];
    const instances = all.filter(({ type }) => type === `subflow:${z}`);
    return instances
      .flatMap((instance) => idsOf(instance, [...within, z]))
      .map((prefix) => `${prefix}-${id}`);
  };
  return all.filter(({ type }) => type === 'cloud-sync').flatMap((node) => idsOf(node));
}
