/** Names of the files this package keeps in its data folder. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** `id` as a file name: as it is where that is harmless, else a hash of it. Different ids give different names. */
export function safeFileName(id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(id)) return id;
  // Harmless names have no dot, so the two kinds can't meet.
  return `.${createHash('sha256').update(id).digest('hex').slice(0, 40)}`;
}

/** Where all is kept that a node's runs have to know of each other. */
export function stateFolderOf({
  dataFolder,
  nodeId,
  previewOf = nodeId,
}: {
  dataFolder: string;
  nodeId: string;
  previewOf?: string;
}): string {
  return join(dataFolder, 'state', safeFileName(previewOf));
}
