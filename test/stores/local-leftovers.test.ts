import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newWriteName } from '../../src/stores/local/temporary-names.js';
import { removeStaleTemporaryFiles } from '../../src/stores/local.js';

/** State and start time of a process, as proc(5) has them. */
function statOf(pid: number): { state: string; start: string } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, start: fields[19]! };
}

/** The name a process with this pid and start time gives to a file it writes. */
function nameOfWriter(pid: number, start: string): string {
  return newWriteName().replace(/-\d+-\d+-([0-9a-f]+\.part)$/, `-${pid}-${start}-$1`);
}

describe('Files that processes left behind half written', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-leftovers-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('stay while their writer lives', async () => {
    writeFileSync(join(folder, newWriteName()), '');
    assert.equal(await removeStaleTemporaryFiles(folder), 0);
    assert.equal(readdirSync(folder).length, 1);
  });

  it('go when another process has the pid now', async () => {
    writeFileSync(join(folder, nameOfWriter(process.pid, '1')), '');
    assert.equal(await removeStaleTemporaryFiles(folder), 1);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('of another machine or container, or before a restart, stay for a day and are told', async () => {
    const name = newWriteName().replace(/-w-[0-9a-f]+-/, '-w-00000000-');
    writeFileSync(join(folder, name), '');
    let undecided = 0;
    const remove = () => removeStaleTemporaryFiles(folder, undefined, () => undecided++);
    assert.equal(await remove(), 0);
    assert.equal(undecided, 1);
    assert.deepEqual(readdirSync(folder), [name]);
  });

  it('go when their writer is dead and nobody has reaped it', async function () {
    if (process.platform !== 'linux') this.skip();
    // `exec` leaves the shell's child to a program that doesn't know of it.
    const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 30'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const pid = await new Promise<number>((resolve) => {
        parent.stdout.once('data', (text: Buffer) => resolve(Number(text)));
      });
      const { start } = statOf(pid);
      const limit = performance.now() + 5000;
      while (statOf(pid).state !== 'Z') {
        assert.ok(performance.now() < limit, 'it becomes a zombie');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      writeFileSync(join(folder, nameOfWriter(pid, start)), '');
      assert.equal(await removeStaleTemporaryFiles(folder), 1);
      assert.deepEqual(readdirSync(folder), []);
    } finally {
      parent.kill('SIGKILL');
    }
  });
});
