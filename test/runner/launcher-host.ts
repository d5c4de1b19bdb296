/** A Node-RED that has children of the launcher, and ends in some way. Says the process id of its child. */

import { Launcher, type ProcessListener } from '../../src/runner/launcher.js';

const [, , way, childFile] = process.argv as [string, string, string, string];
const launcher = new Launcher({ childFile });

const listener: ProcessListener<unknown> = {
  onStarted: () => process.stdout.write(`${child.pid}\n`),
  onFailed: () => process.exit(1),
  async onMessage() {
    // It stands still from now on.
    if (way === 'release') child.release();
    if (way === 'exit') process.exit();
    if (way === 'kill') {
      child.kill('SIGKILL');
      await launcher.settled();
      process.exit();
    }
  },
  onWords: () => undefined,
  onClosed: () => undefined,
  onExited: () => child.release(),
  onLost: () => process.exit(2),
};
const child = launcher.start({ execArgv: [], env: {} }, listener);
