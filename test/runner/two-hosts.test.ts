/**
 * Two hosts that are started together on one bucket and prefix, one of which is killed or stopped in the middle: judged
 * by what the server was asked. `TWO_HOSTS_ROUNDS=50` makes more rounds of each kind, `TWO_HOSTS_SEED` others.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionResult } from '../../src/runner/execute.js';
import type { TaskSettings } from '../../src/runner/task.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { Random } from '../soak/random.js';
import { until } from '../until.js';
import { bundle, runRequest, temporaryFolder } from './support.js';

const ROUNDS = Number(process.env.TWO_HOSTS_ROUNDS ?? 2);
const SEED = Number(process.env.TWO_HOSTS_SEED ?? 1);
const LEASE_MS = 6_000;
/** What whole seconds at the server, and the difference of two clocks that are read from them, may add. */
const CLOCK_MS = 2_500;
const FILES = 60;
const TRANSFERS = 4;
const BUCKET = 'b';
const RESERVED = '.node-red-cloud-sync/';
const CHANGES = ['PutObject', 'DeleteObject', 'DeleteObjects', 'CompleteMultipartUpload', 'CopyObject'];

type Logged = S3Server['requests']['log'][number];

class Host {
  readonly folder = temporaryFolder();
  readonly dataFolder = join(this.folder, 'data');
  result: ExecutionResult | undefined;
  private readonly child: ChildProcess;
  private isReady = false;
  private exited = false;

  constructor(
    readonly key: string,
    program: string,
  ) {
    mkdirSync(join(this.folder, 'source', 'inner'), { recursive: true });
    for (let index = 0; index < FILES; index++) {
      writeFileSync(
        join(this.folder, 'source', index % 2 === 0 ? 'inner' : '', `${index}`),
        `${key} ${index}`,
      );
    }
    this.child = fork(program, [], { execArgv: [] });
    this.child.on('message', (message) => {
      if (message === 'ready') this.isReady = true;
      else this.result = message as ExecutionResult;
    });
    this.child.once('exit', () => {
      this.exited = true;
    });
  }

  async ready(): Promise<void> {
    await until(() => this.isReady, 'the host is ready', 30_000);
  }

  run(server: S3Server, task: Partial<TaskSettings>): void {
    const { task: defaults } = runRequest(this.dataFolder);
    const secrets = { accessKeyId: this.key, secretAccessKey: server.secretAccessKey };
    const request = runRequest(this.dataFolder, {
      credential: {
        ...defaults.credential,
        config: { endpoint: server.url, region: server.region },
        secrets,
      },
      path: join(this.folder, 'source'),
      bucket: BUCKET,
      folder: 'photos',
      name: `Task of ${this.key}`,
      transfers: TRANSFERS,
      maxDelete: null,
      ...task,
    });
    this.child.send({ request, leaseMs: LEASE_MS });
  }

  remove(): void {
    this.signal('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async ended(timeoutMs = 60_000): Promise<void> {
    await until(() => this.exited, `the run of ${this.key} ends`, timeoutMs);
  }
}

describe('Two hosts started together on one prefix', function () {
  this.timeout(60_000 + ROUNDS * 60_000);
  const random = new Random(SEED);
  let lateRequests = 0;
  let program: string;
  let server: S3Server;
  let hosts: [Host, Host] | undefined;

  before(async () => {
    program = await bundle('lease-host');
  });

  beforeEach(async () => {
    server = await startS3Server();
    server.network.latencyMs = 20;
  });

  afterEach(async () => {
    for (const host of hosts ?? []) host.remove();
    hosts = undefined;
    await server.stop();
  });

  /** Both begin within some ms of each other. */
  async function start(task: Partial<TaskSettings>): Promise<[Host, Host]> {
    const { secretAccessKey } = server;
    for (const host of hosts ?? []) host.remove();
    const both: [Host, Host] = [new Host('ATTIC', program), new Host('CELLAR', program)];
    hosts = both;
    server.createBucket(BUCKET);
    server.requests.reset();
    for (const { key } of both) server.credentials.set(key, { accessKeyId: key, secretAccessKey });
    await Promise.all(both.map((host) => host.ready()));
    const [first, second] = random.chance(0.5) ? both : [both[1], both[0]];
    first.run(server, task);
    await delay(random.whole(0, 40));
    second.run(server, task);
    return both;
  }

  /** The same; resolves when one of them has written some files and has requests on their way, which take a while. */
  async function startAndStall(): Promise<[holder: Host, other: Host]> {
    const stalled = server.faults.add({
      operation: 'PutObject',
      match: ({ key }) => !key.includes(RESERVED),
      skip: random.whole(1, FILES - TRANSFERS),
      times: TRANSFERS,
      action: { type: 'stall-request', afterBytes: 0, ms: LEASE_MS - 1_000 },
    });
    const both = await start({ whenBusy: 'queue' });
    await until(() => stalled.hits > 0 && changes().length > 0, 'a host writes', 30_000);
    const holder = both.find(({ key }) => key === changes()[0]!.accessKeyId)!;
    return [holder, both.find((host) => host !== holder)!];
  }

  /** What a host's requests have changed, leases left out, in the order in which they came. */
  const changes = (host?: Host): Logged[] =>
    server.requests.log
      .filter(({ operation, key }) => CHANGES.includes(operation) && !key.includes(RESERVED))
      .filter(({ accessKeyId }) => host === undefined || accessKeyId === host.key)
      .sort((a, b) => a.receivedAt - b.receivedAt);

  /** Once the second writes, the first does no more: neither at once nor by turns. */
  function assertNeverBothWrote(): void {
    const turns = changes().map(({ accessKeyId }) => accessKeyId);
    const handovers = turns.filter((key, index) => index > 0 && key !== turns[index - 1]);
    assert.ok(handovers.length <= 1, `they took turns: ${turns.join(' ')}`);
  }

  /**
   * The same for one that was stopped and went on. It may have been stopped between the last look at its lease and the
   * system call that sends what it looked for: in its one thread that is one request at most.
   */
  function assertAtMostOneLate(stopped: Host, other: Host): void {
    const takenAt = changes(other)[0]!.receivedAt;
    const late = changes(stopped).filter(({ receivedAt }) => receivedAt >= takenAt);
    assert.ok(late.length <= 1, `${late.length} after the other had begun`);
    lateRequests += late.length;
    assertOnlyFilesOf(other, late[0]?.key);
  }

  /** Nothing more was sent, which is no failure where all had been on its way. */
  function assertGaveUp(stopped: Host): void {
    const hadSentAll = changes(stopped).length === FILES;
    assert.equal(stopped.result?.status, hadSentAll ? 'success' : 'failed');
    if (!hadSentAll) assert.equal(stopped.result?.errors[0]?.code, 'BUSY');
  }

  function assertOnlyFilesOf(host: Host, except?: string): void {
    const { objects } = server;
    const keys = objects.keys(BUCKET);
    assert.equal(keys.length, FILES, keys.join('\n'));
    for (const key of keys) {
      if (key === except) continue;
      assert.match(objects.bytes(BUCKET, key).toString(), new RegExp(`^${host.key} `));
    }
  }

  /** After its time was up it took one look at the leases to see that the prefix is free. */
  function assertFreeInTime(dead: Host, other: Host): void {
    const ofLeases = (host: Host, operation: string) =>
      server.requests.log.filter(
        (one) =>
          one.accessKeyId === host.key &&
          one.operation === operation &&
          (one.key || one.query.prefix || '').includes(RESERVED),
      );
    const written = Math.max(...ofLeases(dead, 'PutObject').map(({ receivedAt }) => receivedAt));
    const taken = ofLeases(other, 'PutObject').at(-1)!.receivedAt;
    assert.ok(taken >= written + LEASE_MS - CLOCK_MS, `taken after ${taken - written} ms`);
    const looks = ofLeases(other, 'ListObjectsV2').filter(
      ({ receivedAt }) => receivedAt > written + LEASE_MS + CLOCK_MS && receivedAt < taken,
    );
    assert.ok(looks.length <= 1, `${looks.length} looks after the lease was over`);
  }

  it(`write one after the other, where tasks wait: ${ROUNDS} rounds, seed ${SEED}`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const both = await start({ whenBusy: 'queue' });
      await Promise.all(both.map((host) => host.ended()));
      assert.deepEqual(
        both.map(({ result }) => result?.status),
        ['success', 'success'],
      );
      assertNeverBothWrote();
      assert.equal(changes().length, 2 * FILES);
      assertOnlyFilesOf(both.find(({ key }) => key === changes().at(-1)!.accessKeyId)!);
    }
  });

  it(`write one alone, where tasks skip, and the other says who it was: ${ROUNDS} rounds`, async () => {
    let skips = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const both = await start({ whenBusy: 'skip' });
      await Promise.all(both.map((host) => host.ended()));
      const wrote = both.filter(({ result }) => result?.status === 'success');
      assert.ok(wrote.length > 0, 'neither of them had it');
      assertNeverBothWrote();
      assert.equal(changes().length, wrote.length * FILES);
      // A machine that is busy may start the second when the first is through.
      const skipped = both.find((host) => !wrote.includes(host));
      if (skipped === undefined) continue;
      skips++;
      assert.equal(skipped.result?.status, 'skipped');
      const who = `"photos/" is in use by the task "Task of ${wrote[0]!.key}" on `;
      assert.ok(skipped.result.errors[0]!.message.startsWith(who), skipped.result.errors[0]!.message);
      assertOnlyFilesOf(wrote[0]!);
    }
    console.log(`      ${skips} of ${ROUNDS} times the second skipped`);
  });

  it(`go on without the one that was killed, when its lease is over: ${ROUNDS} rounds`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [holder, other] = await startAndStall();
      holder.signal('SIGKILL');
      await other.ended();
      assert.equal(holder.result, undefined);
      assert.equal(other.result?.status, 'success');
      assertNeverBothWrote();
      assertFreeInTime(holder, other);
      assertOnlyFilesOf(other);
    }
  });

  it(`are kept apart where one is stopped until the other writes, then goes on: ${ROUNDS} rounds`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [holder, other] = await startAndStall();
      holder.signal('SIGSTOP');
      const seen = random.whole(1, FILES);
      await until(() => changes(other).length >= seen, 'the other one writes', 30_000);
      holder.signal('SIGCONT');
      await Promise.all([holder.ended(), other.ended()]);
      assertAtMostOneLate(holder, other);
      assertFreeInTime(holder, other);
      assert.equal(other.result?.status, 'success');
      assertGaveUp(holder);
    }
    console.log(`      ${lateRequests} requests had just been let through when their process was stopped`);
  });

  it('are kept apart where one is stopped until the other is through', async () => {
    const [holder, other] = await startAndStall();
    holder.signal('SIGSTOP');
    await other.ended();
    holder.signal('SIGCONT');
    await holder.ended();
    assertAtMostOneLate(holder, other);
    assertGaveUp(holder);
  });
});
