import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readCredential, type SavedNode } from '../../nodes/task-settings.js';
import { answer } from '../../src/runner/answer.js';
import type { Question } from '../../src/runner/questions.js';
import { PROVIDERS } from '../../src/stores/registry.js';
import { anyText, fuzzLater, runs, SEED, takenOrRefused, takenOrRefusedLater } from './support.js';

const FEW = 150;

/** As endpoints let it through; and errors repeat names and paths whole, which nobody has as long as this. */
const sensibleText = anyText.filter((text) => text.length < 4000 && text.isWellFormed());

/** Names of buckets and folders, some of them good. */
const name = fc.oneof(
  fc.constantFrom(
    'family',
    'a.b',
    'Family',
    '..',
    '%2e%2e',
    'a\r\nHost: evil',
    'a?b=c',
    'a#b',
    '[::1]',
    'a@b',
    '\u00fc',
  ),
  sensibleText,
);
const moment = fc.option(fc.oneof(fc.integer(), fc.constantFrom(Number.NaN, 1e300, 8.64e15)), {
  nil: undefined,
});
const limit = fc.option(fc.oneof(fc.integer(), fc.double()), { nil: undefined });

describe('Fuzzed questions to a child process', function () {
  this.timeout(600_000);
  let server: Server;
  let url: string;
  let root: string;
  const heads: string[] = [];

  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      heads.push(JSON.stringify(request.rawHeaders));
      response.writeHead(403, { 'content-type': 'application/xml' });
      response.end('<Error><Code>AccessDenied</Code><Message>no</Message></Error>');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-fuzz-'));
    mkdirSync(join(root, 'folder'));
    writeFileSync(join(root, 'folder', 'a.jpg'), 'a');
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(root, { recursive: true, force: true });
  });

  const ask = (question: Question) =>
    takenOrRefusedLater(() => answer(question, AbortSignal.timeout(20_000)));

  for (const provider of PROVIDERS.filter(({ id }) => id !== 'google-cloud-storage')) {
    it(`about ${provider.label} (${runs(FEW)}, seed ${SEED})`, async () => {
      const typical: Record<string, string> = {
        accountName: 'photos',
        accountKey: Buffer.alloc(64, 1).toString('base64'),
        region: 'us-east-1',
        forcePathStyle: 'true',
      };
      const fields = provider.fields.map(
        ({ name: field, type }) =>
          [
            field,
            fc.oneof(
              {
                weight: 4,
                arbitrary: fc.constant(
                  typical[field] ?? (type === 'text' || type === 'password' ? 'abc' : ''),
                ),
              },
              { weight: 1, arbitrary: sensibleText },
            ),
          ] as const,
      );
      const kind = fc.constantFrom(
        'check',
        'listBuckets',
        'createBucket',
        'checkBucket',
        'listFolder' as const,
      );
      const input = fc.tuple(
        fc.record(Object.fromEntries(fields)),
        kind,
        name,
        name,
        sensibleText,
        moment,
        limit,
      );
      await fuzzLater(FEW, input, async ([values, what, bucket, folder, after, asOf, most]) => {
        const saved = {
          ...values,
          id: 'key',
          provider: provider.id,
          endpoint: url,
          caCertificate: '',
        } as SavedNode;
        const credential = takenOrRefused(() => readCredential(saved, values as never));
        if (credential === undefined) return;
        await ask({
          kind: what,
          credential,
          bucket,
          folder,
          after,
          asOf,
          limit: most,
          region: after,
        } as Question);
      });
      assert.ok(!heads.some((head) => /"Host","evil"/i.test(head)), 'no name becomes a header');
    });
  }

  it(`about this machine (${runs(FEW)}, seed ${SEED})`, async () => {
    const path = fc.oneof(
      fc.constantFrom(root, join(root, 'folder'), join(root, 'folder', 'a.jpg')),
      sensibleText,
    );
    const patterns = fc.array(fc.oneof(sensibleText, fc.constant('*.jpg')), { maxLength: 3 });
    const kind = fc.constantFrom('listLocalFolder', 'scanLocal', 'log', 'beginSignIn' as const);
    const input = fc.tuple(kind, path, patterns, patterns, sensibleText, limit);
    await fuzzLater(FEW, input, async ([what, folder, include, exclude, text, most]) => {
      // Never a folder outside: what lies there is another test's.
      const inside = folder.startsWith(root) ? folder : join(root, folder.replaceAll(/\0|\.\./g, ''));
      const query = { after: text, search: text, limit: most };
      const fields = { path: inside, include, exclude, after: text, limit: most, query, appKey: text };
      await ask({ kind: what, dataFolder: root, runId: 'none', ...fields } as never);
    });
  });
});
