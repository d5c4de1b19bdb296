import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';
import { Workbench } from './workbench.js';

describe('the credential dialog', function () {
  this.timeout(120_000);
  let bench: Workbench;
  let dropbox: DropboxServer;

  before(async () => {
    bench = await Workbench.start();
    dropbox = await startDropboxServer();
  });
  after(async () => {
    await bench?.stop();
    await dropbox?.stop();
  });
  afterEach(() => bench.close());

  it('leads through the sign-in to Dropbox, and keeps the refresh token', async () => {
    const { appKey, url: endpoint } = dropbox;
    const page = await bench.open([
      bench.credential({ provider: 'dropbox', endpoint, credentials: {} }),
      bench.task({ bucket: '' }),
    ]);
    await bench.editCredential();
    await page.locator('#cloud-sync-dropbox').click();
    await bench.untilText('.cloud-sync-sign-in .cloud-sync-bad', /no app key/);

    await page.locator('#node-config-input-appKey').fill(appKey);
    const opened = page.waitForEvent('popup');
    await page.locator('#cloud-sync-dropbox').click();
    const address = await page.locator('.cloud-sync-steps a').getAttribute('href');
    assert.match(address!, /code_challenge_method=S256/);
    assert.equal((await opened).url(), address);
    // The page shows the code to the user who agrees.
    const code = await (await fetch(address!)).text();
    await page.locator('#cloud-sync-dropbox-code').fill('not the code');
    await page.getByRole('button', { name: 'Use the code' }).click();
    await bench.untilText('.cloud-sync-sign-in .cloud-sync-bad', /code/);
    await page.locator('#cloud-sync-dropbox-code').fill(code);
    await page.getByRole('button', { name: 'Use the code' }).click();
    await bench.untilText('.cloud-sync-sign-in .cloud-sync-good', /Signed in/);
    await bench.untilText('.cloud-sync-answer.cloud-sync-good', /Valid/);
    await page.locator('#node-config-dialog-ok').click();
    await bench.deploy();

    await bench.editCredential();
    await page.locator('.cloud-sync-verify button').first().click();
    await bench.untilText('.cloud-sync-answer.cloud-sync-good', /Valid/);
    assert.deepEqual(bench.faults, []);
  });

  it('says what the chosen service needs, and which address comes of it', async () => {
    const page = await bench.open([bench.credential({ endpoint: '', region: '' })]);
    await bench.editCredential();
    await page.locator('#node-config-input-preset').selectOption('wasabi');
    await page.locator('#node-config-input-region').fill('eu-central-2');
    await bench.untilText('[data-field="endpoint"]', /https:\/\/s3\.eu-central-2\.wasabisys\.com is used/);
    await page.locator('#node-config-input-preset').selectOption('garage');
    await bench.untilText('[data-field="endpoint"]', /as in http:\/\/127\.0\.0\.1:3900/);
  });

  it('tries a bucket, and tells what the key may do there', async () => {
    const page = await bench.open([bench.credential(), bench.task()]);
    await bench.editCredential();
    await page.locator('.cloud-sync-verify button').first().click();
    await bench.untilText('.cloud-sync-answer', /Valid.*1 bucket/s);
    await page.getByRole('button', { name: 'Test' }).click();
    await bench.untilText('.cloud-sync-answer', /every kind of task works/);
    assert.deepEqual(bench.s3.objects.keys('archive'), []);
    await page.locator('.cloud-sync-bucket-test input').fill('missing');
    await page.getByRole('button', { name: 'Test' }).click();
    await bench.untilText('.cloud-sync-answer .cloud-sync-bad', /missing/);
  });

  it('takes an account key or a SAS token, and says so where both are missing', async () => {
    const page = await bench.open([
      bench.credential({ provider: 'azure-blob', accountName: 'family', endpoint: '', credentials: {} }),
    ]);
    await bench.editCredential();
    await page.locator('.cloud-sync-verify button').click();
    await bench.untilText('.cloud-sync-answer.cloud-sync-bad', /account key|accountKey|SAS/i);
  });

  it('answers within seconds where nobody is there', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const page = await bench.open([bench.credential({ endpoint: `http://127.0.0.1:${port}` }), bench.task()]);
    await bench.edit('task');
    await bench.untilText('.cloud-sync-credential-state.cloud-sync-bad', /refused|reach/i);
    await page.getByRole('button', { name: 'Fix credential' }).waitFor();
  });
});
