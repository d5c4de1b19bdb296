import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type RunningNodeRed, startNodeRed } from '../editor/node-red.js';
import { helper, NODES, SIDEBAR } from './node-red.js';
import { type Route, routesOf } from './routes.js';

// bcrypt of 'password'
const PASSWORD = '$2b$08$H51fSvILZ9PESptNju1Iy.ORYPvJ1norB0KlIB2biMDep5zDdd.6K';
/** User name: what it may do. */
const USERS: Record<string, string | string[]> = {
  admin: '*',
  reader: 'read',
  operator: ['cloud-sync.read'],
  writer: ['cloud-sync.write'],
  stranger: ['flows.read', 'nodes.write'],
};

describe('Permissions of the endpoints', function () {
  this.timeout(120_000);
  let routes: Route[];
  let nodeRed: RunningNodeRed;
  const tokens = new Map<string, string>();
  let endpoint: Server;
  let asked = 0;

  before(async () => {
    await helper.startServer();
    await helper.load([...NODES, SIDEBAR], []);
    routes = routesOf(helper._httpAdmin);
    await helper.unload();
    await helper.stopServer();
    assert.ok(routes.length >= 18, `${routes.length} routes`);

    endpoint = createServer((_request, response) => {
      asked += 1;
      response.end();
    }).listen(0, '127.0.0.1');
    await once(endpoint, 'listening');

    const users = Object.entries(USERS).map(([username, permissions]) => ({
      username,
      password: PASSWORD,
      permissions,
    }));
    nodeRed = await startNodeRed({ settings: { adminAuth: { type: 'credentials', users } } });
    for (const username of Object.keys(USERS)) {
      const response = await fetch(`${nodeRed.url}/auth/token`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          ...{ client_id: 'node-red-admin', grant_type: 'password', scope: '' },
          ...{ username, password: 'password' },
        }),
      });
      tokens.set(username, ((await response.json()) as { access_token: string }).access_token);
    }
  });

  after(async () => {
    await nodeRed?.stop();
    endpoint.closeAllConnections();
    endpoint.close();
  });

  /** The status that `user` gets; undefined: nobody who signed in. */
  async function statusFor(
    user: string | undefined,
    { method, path }: Route,
    body: object = {},
  ): Promise<number> {
    const headers = new Headers({ 'Content-Type': 'application/json' });
    if (user !== undefined) headers.set('Authorization', `Bearer ${tokens.get(user)}`);
    const response = await fetch(nodeRed.url + path.replace(/:\w+/g, 'nobody'), {
      method,
      headers,
      ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
    });
    await response.arrayBuffer();
    return response.status;
  }

  it('let nobody in who has not signed in, or may do other things', async () => {
    for (const route of routes) {
      for (const user of [undefined, 'stranger']) {
        assert.equal(await statusFor(user, route), 401, `${route.method} ${route.path} for ${user}`);
      }
    }
  });

  it('let those who may read look, and nothing else', async () => {
    for (const route of routes) {
      for (const user of ['reader', 'operator']) {
        const status = await statusFor(user, route);
        if (route.method === 'POST') assert.equal(status, 401, `${route.path} for ${user}`);
        else assert.notEqual(status, 401, `${route.path} for ${user}`);
      }
    }
  });

  it('let those in who may act', async () => {
    for (const route of routes.filter(({ method }) => method === 'POST')) {
      for (const user of ['admin', 'writer']) {
        assert.notEqual(await statusFor(user, route), 401, `${route.path} for ${user}`);
      }
    }
  });

  it('send no request to an endpoint that somebody has typed who may only read', async () => {
    const credential = {
      provider: 's3',
      config: { endpoint: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}` },
      secrets: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
    };
    const body = { credential, bucket: 'family', folder: '', path: '/', task: { id: 'new' } };
    const before = asked;
    for (const route of routes.filter(({ method }) => method === 'POST')) {
      for (const user of [undefined, 'stranger', 'reader', 'operator']) await statusFor(user, route, body);
    }
    assert.equal(asked, before);
    // Which would have been noticed.
    await statusFor('writer', { method: 'POST', path: '/cloud-sync/credential/verify' }, body);
    assert.ok(asked > before);
  });
});
