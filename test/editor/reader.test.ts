import assert from 'node:assert/strict';
import { TAB, Workbench } from './workbench.js';

// bcrypt of 'password'
const PASSWORD = '$2b$08$H51fSvILZ9PESptNju1Iy.ORYPvJ1norB0KlIB2biMDep5zDdd.6K';

describe('the sidebar for somebody who may only read', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    const users = [
      { username: 'admin', password: PASSWORD, permissions: '*' },
      { username: 'guest', password: PASSWORD, permissions: 'read' },
    ];
    bench = await Workbench.start({ settings: { adminAuth: { type: 'credentials', users } } });
    bench.write({ 'photos/a.jpg': 'a', 'photos/b.jpg': 'b' });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  async function tokenOf(username: string): Promise<string> {
    const response = await fetch(`${bench.nodeRed.url}/auth/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        ...{ client_id: 'node-red-admin', grant_type: 'password', scope: '*' },
        ...{ username, password: 'password' },
      }),
    });
    return ((await response.json()) as { access_token: string }).access_token;
  }

  it('shows states, history and log as they change, and nothing to press that acts', async () => {
    const token = await tokenOf('admin');
    const asAdmin = async (path: string, body: object) => {
      const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` };
      const response = await fetch(`${bench.nodeRed.url}/${path}`, {
        method: 'POST',
        headers: { ...headers, 'Node-RED-API-Version': 'v2' },
        body: JSON.stringify(body),
      });
      assert.ok(response.ok, `${path}: ${response.status}`);
    };
    await asAdmin('flows', { flows: [TAB, bench.credential(), bench.task({ schedule: '0 3 * * *' })] });

    const page = await (await bench.browser.newContext()).newPage();
    bench.page = page;
    page.on('pageerror', (error) => bench.faults.push(error.stack ?? error.message));
    await page.goto(bench.nodeRed.url);
    await page.locator('#node-dialog-login-username').fill('guest');
    await page.locator('#node-dialog-login-password').fill('password');
    await page.locator('#node-dialog-login-submit').click();
    await page.waitForFunction("window.RED?.nodes?.node?.('task')");
    await bench.showSidebar();
    await bench.untilText('.cloud-sync-card', /Family photos.*Has not run yet/s);

    await asAdmin('cloud-sync/tasks/task/run', {});
    await bench.untilText('.cloud-sync-card', /2 files/);
    assert.equal(await page.locator('.cloud-sync-card [data-action="run"]').count(), 0);
    assert.equal(await page.locator('.cloud-sync-card-actions button').count(), 0);
    assert.equal(await page.locator('[data-action="enabled"]').isDisabled(), true);
    await page.getByRole('button', { name: 'History and log' }).click();
    await page.locator('.cloud-sync-run').first().click();
    await bench.untilText('.cloud-sync-log-line', /a\.jpg/);
    assert.deepEqual(bench.faults, []);
  });
});
