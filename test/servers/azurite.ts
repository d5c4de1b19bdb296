/**
 * Microsoft's own emulator of Azure Blob Storage (npm `azurite`), as a child process that keeps everything in memory.
 * It checks signatures, MD5s and conditions. What it doesn't have: versions, Data Lake, a sharded service's throttling.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';

/** The emulator's well-known account: https://learn.microsoft.com/azure/storage/common/storage-use-azurite */
export const AZURITE_ACCOUNT = 'devstoreaccount1';
export const AZURITE_KEY =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

const START_TIMEOUT_MS = 30_000;

export interface Azurite {
  /** `http://127.0.0.1:port`, without the account. */
  endpoint: string;
  accountName: string;
  accountKey: string;
  stop(): Promise<void>;
}

/** Starts an emulator of its own on a free port. */
export async function startAzurite(): Promise<Azurite> {
  const main = createRequire(import.meta.url).resolve('azurite/dist/src/blob/main.js');
  const child = spawn(
    process.execPath,
    [
      main,
      '--blobHost',
      '127.0.0.1',
      '--blobPort',
      '0',
      '--inMemoryPersistence',
      '--silent',
      '--disableTelemetry',
      // The SDK names a version of the service that is newer than the emulator knows.
      '--skipApiVersionCheck',
    ],
    // It would leave its files in the current folder.
    { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const stopWithUs = () => child.kill('SIGKILL');
  process.once('exit', stopWithUs);
  const endpoint = await listening(child).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    endpoint,
    accountName: AZURITE_ACCOUNT,
    accountKey: AZURITE_KEY,
    stop: async () => {
      process.removeListener('exit', stopWithUs);
      if (child.exitCode !== null) return;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const timer = setTimeout(
      () => reject(new Error(`azurite did not start: ${output}`)),
      START_TIMEOUT_MS,
    ).unref();
    const onOutput = (chunk: Buffer) => {
      output += chunk.toString();
      const found = /successfully listens on (http:\/\/[^\s]+)/.exec(output);
      if (found === null) return;
      clearTimeout(timer);
      resolve(found[1]!);
    };
    child.stdout?.on('data', onOutput);
    child.stderr?.on('data', onOutput);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`azurite ended with ${code}: ${output}`)));
  });
}
