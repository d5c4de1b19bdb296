import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type LaunchedProcess,
  Launcher,
  type LauncherOptions,
  type ProcessListener,
} from '../../src/runner/launcher.js';
import { describeEnd, SupervisedProcess } from '../../src/runner/process.js';
import { until } from '../until.js';
import { bundle, isRunning, nicenessOfThreads, temporaryFolder } from './support.js';

/** Answers everything; goes with its channel. */
const ECHO = `
process.on('disconnect', () => process.exit());
process.on('message', (message) => {
  if (message === 'exit') {
    process.stderr.write('something went wrong');
    process.exit(7);
  }
  process.send(message);
});
process.send('up');
`;
/** Says that it is up and stands still. */
const DEAF = `
process.send('up');
for (;;);
`;

/** Keeps everything it is told. */
class Heard implements ProcessListener<unknown> {
  readonly order: string[] = [];
  readonly messages: unknown[] = [];
  words = '';
  error: Error | undefined;
  exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  onStarted(): void {
    this.order.push('started');
  }
  onFailed(error: Error): void {
    this.order.push('failed');
    this.error = error;
  }
  onMessage(message: unknown): void {
    this.messages.push(message);
  }
  onWords(words: string): void {
    this.words = words;
  }
  onClosed(): void {
    this.order.push('closed');
  }
  onExited(code: number | null, signal: NodeJS.Signals | null): void {
    this.order.push('exited');
    this.exit = { code, signal };
  }
  onLost(error: Error): void {
    this.order.push('lost');
    this.error = error;
  }
}

describe('The launcher', () => {
  let hostFile: string;
  let folder: string;
  let children: LaunchedProcess[];

  before(async () => {
    hostFile = await bundle('launcher-host');
  });

  beforeEach(() => {
    folder = temporaryFolder();
    children = [];
  });

  afterEach(() => {
    for (const child of children) {
      child.kill('SIGKILL');
      child.release();
    }
  });

  /** The path of a file with this program. */
  function program(text: string, name = 'child.cjs'): string {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  }

  function open(childFile: string, options: Partial<LauncherOptions> = {}): Launcher {
    return new Launcher({ childFile, threadFile: join(dirname(hostFile), 'launcher-thread.js'), ...options });
  }

  function start(launcher: Launcher) {
    const heard = new Heard();
    const child = launcher.start({ execArgv: [], env: {} }, heard);
    children.push(child);
    return { heard, child };
  }

  /** The launcher's thread, with something more that it does. Its end makes the file `ended`. */
  function threadThat(does: string): string {
    const real = JSON.stringify(join(dirname(hostFile), 'launcher-thread.js'));
    const ended = JSON.stringify(join(folder, 'ended'));
    return program(
      `process.on('exit', () => require('node:fs').writeFileSync(${ended}, ''));\nrequire(${real});\n${does}`,
      'thread.cjs',
    );
  }

  /** Fails as soon as the file `fail` is there. */
  function threadThatFails(): string {
    const fail = JSON.stringify(join(folder, 'fail'));
    return threadThat(
      `setInterval(() => { if (require('node:fs').existsSync(${fail})) throw new Error('broken'); }, 10).unref();`,
    );
  }

  it('passes messages on in order, both ways, also those that were sent before the process was up', async () => {
    const { heard, child } = start(open(program(ECHO)));
    assert.equal(child.pid, undefined);
    const sent = Array.from({ length: 500 }, (_, number) => ({
      number,
      at: new Date(number),
      none: undefined,
    }));
    for (const message of sent) child.send(message);
    await until(() => heard.messages.length > sent.length, 'all are answered');
    assert.deepEqual(heard.messages, ['up', ...sent]);
    assert.deepEqual(heard.order, ['started']);
    assert.ok(await isRunning(child.pid!));
  });

  it('tells exit code, signal and last words', async () => {
    const launcher = open(program(ECHO));
    const [ends, killed] = [start(launcher), start(launcher)];
    ends.child.send('exit');
    killed.child.kill('SIGTERM');
    await until(() => ends.child.silent && !ends.child.connected && ends.heard.exit, 'one has ended');
    assert.deepEqual(ends.heard.exit, { code: 7, signal: null });
    assert.equal(ends.heard.words, 'something went wrong');
    await until(() => killed.heard.exit, 'the other one was killed');
    assert.deepEqual(killed.heard.exit, { code: null, signal: 'SIGTERM' });
  });

  it('keeps only the last words of a child that floods its standard error', async () => {
    const flood = `for (let line = 0; line < 20000; line++) process.stderr.write('line ' + line + '\\n');`;
    const { heard, child } = start(open(program(flood)));
    await until(() => child.silent, 'it has ended');
    assert.ok(heard.words.length <= 8192 && heard.words.endsWith('line 19999\n'), heard.words.slice(-100));
  });

  it('tells what can not be started, and why', async () => {
    const missing = start(open(join(folder, 'missing.cjs')));
    await until(() => missing.heard.exit && missing.child.silent, 'Node.js finds no program');
    assert.equal(missing.heard.exit?.code, 1);
    assert.match(missing.heard.words, /Cannot find module/);

    const refused = start(open('no\0path'));
    await until(() => refused.heard.error, 'it is refused');
    assert.match(refused.heard.error!.message, /null bytes/);
    assert.deepEqual(refused.heard.order, ['failed']);
    assert.equal(refused.child.pid, undefined);
  });

  it('tells it where its thread can not be started, and tries again with the next one', async () => {
    const threadFile = join(folder, 'thread.cjs');
    const launcher = open(program(ECHO), { threadFile });
    const failed = start(launcher);
    await until(() => failed.heard.error, 'it is told');
    assert.deepEqual(failed.heard.order, ['failed']);
    assert.match(failed.heard.error!.message, /thread.*Cannot find module/s);
    threadThat('');
    const next = start(launcher);
    await until(() => next.heard.messages.length > 0, 'the next one is up');
  });

  it('starts its children with low priority, all their threads', async function () {
    if (process.platform !== 'linux') this.skip();
    const { heard, child } = start(open(program(ECHO)));
    await until(() => heard.messages.length > 0, 'it is up');
    await until(() => nicenessOfThreads(child.pid!).every((niceness) => niceness === 10), 'all have it');
  });

  it('ends its thread when it has no children for a while, and makes a new one', async () => {
    const launcher = open(program(ECHO), { threadFile: threadThat(''), idleMs: 100 });
    const first = start(launcher);
    await until(() => first.heard.messages.length > 0, 'it is up');
    first.child.kill('SIGKILL');
    await until(() => first.heard.exit, 'it has ended');
    assert.ok(!existsSync(join(folder, 'ended')));
    first.child.release();
    await until(() => existsSync(join(folder, 'ended')), 'the thread ends');
    const second = start(launcher);
    await until(() => second.heard.messages.length > 0, 'the next one is up');
  });

  describe('whose thread fails', () => {
    it('counts all its children as ended, and the next one is started by a new thread', async () => {
      const launcher = open(program(ECHO), { threadFile: threadThatFails() });
      const [first, second] = [start(launcher), start(launcher)];
      await until(() => [first, second].every(({ heard }) => heard.messages.length > 0), 'both are up');
      writeFileSync(join(folder, 'fail'), '');
      await until(() => first.heard.error && second.heard.error, 'both are lost');
      for (const { heard, child } of [first, second]) {
        assert.equal(heard.order.at(-1), 'lost');
        assert.match(heard.error!.message, /thread.*broken/);
        await until(async () => !(await isRunning(child.pid!)), 'it ends with its channel');
      }
      // Nobody is there any more to answer, and nobody has to wait for it.
      await launcher.settled();
      rmSync(join(folder, 'fail'));
      const next = start(launcher);
      await until(() => next.heard.messages.length > 0, 'the next one is up');
    });

    it('has a run told why it ended, and its process killed where that does not hear the end of its channel', async () => {
      const launcher = open(program(DEAF), { threadFile: threadThatFails() });
      let up = false;
      const supervised = new SupervisedProcess({
        launcher,
        memoryMb: 512,
        onMessage: () => {
          up = true;
        },
      });
      await until(() => up, 'it is up');
      const pid = supervised.pid!;
      writeFileSync(join(folder, 'fail'), '');
      const end = await supervised.ended;
      assert.match(describeEnd(end, 512), /was ended: the thread .* has ended: broken/);
      await supervised.exited;
      assert.ok(!(await isRunning(pid)));
    });
  });

  describe('in a Node-RED that ends', () => {
    /** Runs the host to its end; the process id of its child. */
    async function host(way: string, childFile: string): Promise<number> {
      const child = spawn(process.execPath, [hostFile, way, childFile], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      let code: number | null | undefined;
      child.once('close', (exitCode) => {
        code = exitCode;
      });
      try {
        await until(() => code !== undefined, 'the host ends', 10_000);
        assert.equal(code, 0);
      } finally {
        child.kill('SIGKILL');
      }
      assert.match(text, /^\d+\n$/);
      return Number(text);
    }

    /** Where the host looks for the launcher's thread: beside its child. */
    function childOfHost(text: string): string {
      const file = join(dirname(hostFile), 'child.cjs');
      writeFileSync(file, text);
      return file;
    }

    it('lets it end while it is idle', async () => {
      const pid = await host('idle', childOfHost('process.send("up"); process.exit();'));
      assert.ok(!(await isRunning(pid)));
    });

    it('lets it end while a child that was given up hangs', async () => {
      const pid = await host('release', childOfHost(DEAF));
      assert.ok(await isRunning(pid));
      process.kill(pid, 'SIGKILL');
    });

    it('lets it exit while a child that nobody gave up hangs', async () => {
      const pid = await host('exit', childOfHost(DEAF));
      assert.ok(await isRunning(pid));
      process.kill(pid, 'SIGKILL');
    });

    it('has killed who was told to be killed before', async () => {
      const pid = await host('kill', childOfHost(DEAF));
      await until(async () => !(await isRunning(pid)), 'it is gone');
    });

    it('takes a child along that hears the end of its channel', async () => {
      const pid = await host('exit', childOfHost(ECHO));
      await until(async () => !(await isRunning(pid)), 'it is gone');
    });
  });
});
