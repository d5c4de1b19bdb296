import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { confineFolders } from '../../nodes/local-paths.js';
import { readPackageSettings } from '../../nodes/package-settings.js';
import { hasCode } from '../../src/errors.js';
import { until } from '../until.js';
import {
  CREDENTIAL,
  type FlowNode,
  HELPERS,
  helper,
  Inbox,
  NODES,
  node,
  replaceRunner,
  SECRETS,
  SIDEBAR,
  TASK,
} from './node-red.js';

describe('cloudSync in settings.js', () => {
  it('is read as it is written', () => {
    const written = {
      allowedPaths: ['/srv', 'D:\\photos'],
      runMemoryMb: 512,
      historyDays: 30,
      allowScripts: true,
    };
    assert.deepEqual(readPackageSettings(written), { settings: written, problems: [] });
    assert.deepEqual(readPackageSettings({ allowedPaths: [], historyDays: undefined }), {
      settings: { allowedPaths: [] },
      problems: [],
    });
    for (const nothing of [undefined, null, {}]) {
      assert.deepEqual(readPackageSettings(nothing), { settings: {}, problems: [] });
    }
  });

  it('never allows more than was meant where it is wrong, and says what is wrong', () => {
    const cases: [object | string | number, object, RegExp][] = [
      [
        { allowedPaths: '/srv' },
        { allowedPaths: [] },
        /allowedPaths in settings.js is "\/srv": it has to be a list/,
      ],
      [{ allowedPaths: ['srv'] }, { allowedPaths: [] }, /allowedPaths.*no folder is allowed now/],
      [{ allowedPaths: [''] }, { allowedPaths: [] }, /allowedPaths/],
      [{ allowedPaths: [5] }, { allowedPaths: [] }, /allowedPaths/],
      [{ allowedPaths: null }, { allowedPaths: [] }, /allowedPaths/],
      [{ allowScripts: 'false' }, { allowScripts: false }, /allowScripts.*"false".*true or false/],
      [{ allowScripts: 0 }, { allowScripts: false }, /allowScripts/],
      [{ runMemoryMb: '512' }, { runMemoryMb: undefined }, /runMemoryMb.*from 128; it is 1024 now/],
      [{ runMemoryMb: 5 }, { runMemoryMb: undefined }, /runMemoryMb/],
      [{ historyDays: Number.NaN }, { historyDays: undefined }, /historyDays/],
      [{ historyDays: -1 }, { historyDays: undefined }, /historyDays.*it is 90 now/],
      [
        { allowedPath: ['/srv'] },
        {},
        /allowedPath in settings.js means nothing: there are allowedPaths, run/,
      ],
      [{ toString: 1 }, {}, /toString/],
      ['/srv', { allowedPaths: [], allowScripts: false }, /has to be an object/],
      [[], { allowedPaths: [], allowScripts: false }, /has to be an object/],
    ];
    for (const [written, settings, words] of cases) {
      const read = readPackageSettings(written);
      assert.deepEqual(read.settings, settings, JSON.stringify(written));
      assert.equal(read.problems.length, 1);
      assert.match(read.problems[0]!, words);
    }
  });

  describe('allowedPaths', () => {
    let root: string;
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'cloud-sync-settings-'));
      mkdirSync(join(root, 'allowed', 'photos'), { recursive: true });
      mkdirSync(join(root, 'allowed-too'));
      symlinkSync(root, join(root, 'allowed', 'out'));
      symlinkSync(join(root, 'nowhere', 'yet'), join(root, 'allowed', 'dangling'));
    });
    afterEach(() => rmSync(root, { recursive: true, force: true }));

    const confined = async (
      path: string,
      more: { direction?: 'push' | 'pull'; backupFolder?: string } = {},
    ) => {
      const task = { path: join(root, path), direction: 'push' as const, backupFolder: '', ...more };
      return (await confineFolders(task, [join(root, 'allowed')])).path;
    };
    const refused = (field: string) => (error: unknown) =>
      hasCode(error, 'NO_PERMISSION') && error.field === field;

    it('confine the folder of a task, there or not there yet', async () => {
      assert.equal(await confined('allowed'), join(root, 'allowed'));
      assert.equal(await confined('allowed/photos/'), join(root, 'allowed', 'photos'));
      assert.equal(await confined('allowed/./new/../newer'), join(root, 'allowed', 'newer'));
      for (const path of [
        '',
        'allowed-too',
        'allowed/../allowed-too',
        'elsewhere',
        'allowed/out',
        'allowed/dangling',
        'allowed/dangling/new',
        'allowed/out/new',
      ]) {
        await assert.rejects(confined(path), refused('path'), path);
      }
    });

    it('confine the folder for what a pull replaces', async () => {
      const pull = (backupFolder: string) => confined('allowed/photos', { direction: 'pull', backupFolder });
      await pull('old');
      await pull(join(root, 'allowed', 'old'));
      for (const folder of [join(root, 'elsewhere'), '/', join(root, 'allowed', 'out', 'old')]) {
        await assert.rejects(pull(folder), refused('backupFolder'), folder);
      }
      // On push it is a folder in the bucket.
      await confined('allowed', { backupFolder: 'old' });
    });

    it('may be links themselves', async () => {
      symlinkSync(join(root, 'allowed', 'photos'), join(root, 'link'));
      const task = { path: join(root, 'link', 'a'), direction: 'push' as const, backupFolder: '' };
      assert.equal((await confineFolders(task, [join(root, 'link')])).path, join(root, 'link', 'a'));
    });
  });

  describe('in Node-RED', () => {
    let root: string;
    before(() => helper.startServer());
    after(() => helper.stopServer());
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'cloud-sync-settings-'));
    });
    afterEach(async () => {
      await helper.unload();
      helper.settings({});
      replaceRunner(undefined);
      rmSync(root, { recursive: true, force: true });
    });

    async function deploy(cloudSync: object, task: Partial<FlowNode> = {}): Promise<void> {
      replaceRunner(undefined);
      helper.settings({ userDir: root, cloudSync } as never);
      const flows = [CREDENTIAL, ...HELPERS, { ...TASK, path: join(root, 'photos'), ...task }];
      await helper.load([...NODES, SIDEBAR], flows as never, SECRETS);
    }
    const failureOf = async () => {
      const failure = new Inbox('failure');
      node('task').receive({});
      return JSON.stringify((await failure.next()).payload.errors);
    };

    it('confines tasks also where it is written wrong', async () => {
      await deploy({ allowedPaths: root });
      assert.match(
        await failureOf(),
        /NO_PERMISSION.*None is allowed: see cloudSync.allowedPaths in settings.js/,
      );
    });

    it('forbids scripts', async () => {
      const marker = join(root, 'ran');
      await deploy({ allowScripts: false }, { preScript: `touch ${marker}` });
      assert.match(await failureOf(), /preScript is not allowed on this Node-RED.*allowScripts/);
      assert.ok(!existsSync(marker));
    });

    it('says how much memory a run may use', async function () {
      if (process.platform !== 'linux') this.skip();
      mkdirSync(join(root, 'photos'));
      const marker = join(root, 'command');
      // The script's parent is the process of the run.
      await deploy(
        { runMemoryMb: 200 },
        { preScript: `tr '\\0' ' ' < /proc/$PPID/cmdline > ${marker}; exit 3` },
      );
      assert.match(await failureOf(), /SCRIPT_FAILED/);
      const [, heap] = /--max-old-space-size=(\d+)/.exec(readFileSync(marker, 'utf8'))!;
      assert.ok(Number(heap) < 200, heap);
    });

    it('says how long history is kept', async () => {
      const history = join(root, 'cloud-sync', 'history');
      mkdirSync(history, { recursive: true });
      const [old, young] = [join(history, 'old.jsonl'), join(history, 'young.jsonl')];
      const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
      for (const [file, days] of [
        [old, 6],
        [young, 4],
      ] as const) {
        writeFileSync(file, '{}\n');
        utimesSync(file, daysAgo(days), daysAgo(days));
      }
      await deploy({ historyDays: 5 });
      await until(() => !existsSync(old), 'what is older is removed');
      assert.ok(existsSync(young));
    });
  });
});
