/**
 * Node-RED with this package, an S3-compatible server and a folder to back up, all on this machine: what `npm start`
 * shows. Everything it makes lies in `.demo/`, or in the folder that DEMO_FOLDER names.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type FlowNode, startNodeRed } from './demo/node-red.js';
import { DEMO_PROVIDERS, type DemoProvider } from './demo/providers.js';
import { makeSample } from './demo/sample.js';

const FOLDER = resolve(process.env.DEMO_FOLDER ?? '.demo');
const SAMPLE = join(FOLDER, 'sample');
const EXAMPLE = join('examples', '1 - Back up, verify and restore.json');
/** MiB of the largest file in the sample. */
const LARGEST = 64;

const CREDENTIAL_ID = 'cloud-sync-demo-credential';

/** The example from the import menu; or, at a later start, the flows as they were left. Filled in for this machine. */
function flowsFor(provider: DemoProvider, present: FlowNode[]): FlowNode[] {
  const isFirst = !present.some((node) => node.id === CREDENTIAL_ID);
  const nodes = isFirst ? (JSON.parse(readFileSync(EXAMPLE, 'utf8')) as FlowNode[]) : present;
  return nodes.map((node) => {
    if (node.id === CREDENTIAL_ID) {
      return { ...node, ...provider.credential.config, credentials: provider.credential.secrets };
    }
    if (isFirst && node.type === 'cloud-sync') {
      return { ...node, path: SAMPLE, bucket: provider.bucket, folder: 'sample' };
    }
    if (isFirst && node.type === 'cloud-restore') return { ...node, path: join(FOLDER, 'restored') };
    return node;
  });
}

async function main(): Promise<void> {
  const port = Number(process.env.PORT ?? 1880);
  if (!existsSync(SAMPLE)) makeSample(SAMPLE, LARGEST);
  const provider = await DEMO_PROVIDERS.s3!();
  const userDir = join(FOLDER, 'node-red');
  const nodeRed = await startNodeRed({ userDir, port, onLine: (line) => console.log(line) });
  const stop = async () => {
    await nodeRed.stop();
    await provider.stop();
    process.exit(0);
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  nodeRed.process.once('exit', (code) => process.exit(code ?? 0));
  await nodeRed.deploy(flowsFor(provider, await nodeRed.flows()));
  console.log(`
  Open ${nodeRed.url}
  and press the button of the Start node: it backs up ${SAMPLE},
  verifies the backup and restores it to ${join(FOLDER, 'restored')}.
  Ctrl-C stops everything; delete ${FOLDER} to begin anew.
`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
