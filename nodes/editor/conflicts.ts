/** Tasks that work against each other. */

import { nodeById, t } from './text.js';

function isWithin(path: string, folder: string): boolean {
  const [inner, outer] = [path, folder].map((one) => `${one.replace(/\/+$/, '')}/`);
  return inner!.startsWith(outer!);
}

interface TaskPlace {
  id: string;
  direction: string;
  transferMode: string;
  path: string;
}

/** What to say where a push sync and a pull sync share a local folder: each undoes what the other did. */
export function conflictOf(task: TaskPlace): string | undefined {
  if (task.transferMode !== 'sync' || task.path.trim() === '') return undefined;
  const other = RED.nodes.filterNodes({ type: 'cloud-sync' }).find((node) => {
    const path = String(node.path ?? '');
    return (
      node.id !== task.id &&
      node.d !== true &&
      node.transferMode === 'sync' &&
      (node.direction ?? 'push') !== task.direction &&
      path !== '' &&
      (isWithin(path, task.path) || isWithin(task.path, path))
    );
  });
  if (other === undefined) return undefined;
  return t('task.conflict', { task: nodeById(other.id)?.name || other.id, path: String(other.path) });
}
