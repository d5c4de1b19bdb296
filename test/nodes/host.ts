import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runner } from '../../src/runner/runner.js';
import { helper, replaceRunner } from './node-red.js';

/** A folder and a runner for the nodes of one test. `helper.startServer()` comes before it, {@link close} after the test. */
export class Host {
  /** Empty at first: `userDir` of Node-RED, and room for the files of a test. */
  readonly root = mkdtempSync(join(tmpdir(), 'cloud-sync-nodes-'));
  readonly runner = new Runner({
    dataFolder: join(this.root, 'cloud-sync'),
    childFile: join(process.cwd(), 'dist', 'runner', 'child.js'),
  });
  #admin: Server | undefined;

  constructor() {
    this.configure({});
    replaceRunner(this.runner);
  }

  /** What `settings.js` says under `cloudSync`, for the next deploy. */
  configure(cloudSync: object): void {
    helper.settings({ userDir: this.root, cloudSync } as never);
  }

  /** Serves the admin routes; a deploy makes them anew. */
  async openAdmin(): Promise<void> {
    this.#admin?.close();
    this.#admin = createServer(helper._httpAdmin as RequestListener).listen(0, '127.0.0.1');
    await once(this.#admin, 'listening');
  }

  /** The address of an admin route, `path` being what follows `/cloud-sync/`. */
  address(path: string): string {
    const { port } = this.#admin!.address() as AddressInfo;
    return `http://127.0.0.1:${port}/cloud-sync/${path}`;
  }

  async close(): Promise<void> {
    this.#admin?.close();
    await helper.unload();
    helper.settings({});
    await this.runner.stop();
    replaceRunner(undefined);
    rmSync(this.root, { recursive: true, force: true });
  }
}
