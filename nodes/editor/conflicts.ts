/** Tasks that work against each other. */

import { nodeById, t } from './text.js';

function isWithin(path: string, folder: string): boolean {
  const [inner, outer] = [path, folder].map((one) => `${one.replace(/\/+$/, '')}/`);
  return inner!.startsWith(outer!);
}

/** The properties of a cloud-sync node, as far as they matter here. */
interface TaskPlace {
  id: string;
  direction?: unknown;
  transferMode?: unknown;
  path?: unknown;
  pathType?: unknown;
}

/** The local folder, where it is known: a typed input's is known only when it runs. */
function knownPath({ path, pathType }: TaskPlace): string {
  return pathType && pathType !== 'str' ? '' : String(path ?? '').trim();
}

/** What to say where a push sync and a pull sync share a local folder: each undoes what the other did. */
export function conflictOf(task: TaskPlace): string | undefined {
  const own = knownPath(task);
  if (task.transferMode !== 'sync' || own === '') return undefined;
  const other = RED.nodes.filterNodes({ type: 'cloud-sync' }).find((node) => {
    const path = knownPath(node);
    return (
      node.id !== task.id &&
      node.d !== true &&
      node.transferMode === 'sync' &&
      (node.direction ?? 'push') !== task.direction &&
      path !== '' &&
      (isWithin(path, own) || isWithin(own, path))
    );
  });
  if (other === undefined) return undefined;
  return t('task.conflict', { task: nodeById(other.id)?.name || other.id, path: String(other.path) });
}
