/**
 * A strict fake of the Dropbox API, for tests and demonstrations: nobody offers a real one to run. As strict as the
 * documentation, which each rule's test names. Everything is in memory and goes with {@link DropboxServer.stop}.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { authError, badInput, Refusal, rateLimitError } from './api-error.js';
import type { DeleteJobs } from './changing.js';
import { type Call, type Reply, type ServerState, View } from './context.js';
import { type FaultAction, Faults, refusalOf } from './faults.js';
import { type App, Authorization } from './oauth.js';
import { bytesOf, checkArgument, checkContentType, rawArgument } from './requests.js';
import { makeRooms, type Rooms, type Route, routesOf } from './routes.js';
import { Tree } from './tree.js';

export type { Fault, FaultAction } from './faults.js';

export interface DropboxServerOptions {
  /** Default 0: a free one. */
  port?: number;
  appKey?: string;
  appSecret?: string;
  /** The account is a member of a team with a space of its own: the root is the team's, this folder is the member's. */
  teamHome?: string;
  /** The app sees nothing but this folder. */
  appFolder?: string;
  /** Entries a page of a listing has at most; Dropbox's limit is 2,000. */
  pageLimit?: number;
  /** Space of the account, bytes. */
  quotaBytes?: number;
  /** ms before each answer. */
  latencyMs?: number;
  /** So long a write holds the account's lock; others meanwhile are refused with too_many_write_operations. ms. */
  lockMs?: number;
  /** Seconds that such a refusal asks to wait. */
  lockRetrySeconds?: number;
  /** How often an asynchronous job is in progress before it is complete. */
  jobPolls?: number;
}

export interface LoggedCall {
  route: string;
  status: number;
  bodyBytes: number;
  argument: unknown;
  authorization: string | undefined;
}

const ROOT_NAMESPACE = '3235641';
const HOME_NAMESPACE = '1234567';

/** Starts the fake on 127.0.0.1. */
export async function startDropboxServer(options: DropboxServerOptions = {}): Promise<DropboxServer> {
  const server = new DropboxServer(options);
  await server.listen(options.port ?? 0);
  return server;
}

export class DropboxServer {
  url = '';
  readonly account = { accountId: 'dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc', email: 'franz@example.com' };
  readonly appKey: string;
  readonly appSecret: string;
  /** For an app that signed in with PKCE, without its secret. */
  readonly refreshToken: string;
  /** Valid for four hours of this server's time. */
  readonly accessToken: string;
  readonly authorization: Authorization;
  readonly tree: Tree;
  readonly faults = new Faults();
  readonly rooms: Rooms;
  readonly state: ServerState;
  /** Calls by route; those that failed count too. */
  counts: Record<string, number> = {};
  log: LoggedCall[] = [];
  private readonly routes: Record<string, Route>;
  private readonly http: Server;
  private readonly sockets = new Set<Socket>();
  private readonly stopping = new AbortController();
  private offsetMs = 0;
  private isLocked = false;

  constructor(private readonly options: DropboxServerOptions) {
    this.appKey = options.appKey ?? 'testappkey00001';
    this.appSecret = options.appSecret ?? 'testappsecret01';
    const app: App = { appKey: this.appKey, appSecret: this.appSecret };
    this.authorization = new Authorization(app, this.now);
    this.accessToken = this.authorization.newAccessToken();
    this.refreshToken = this.authorization.newRefreshToken(true);
    this.tree = new Tree(this.now);
    if (options.quotaBytes !== undefined) this.tree.quotaBytes = options.quotaBytes;
    for (const folder of [options.teamHome, options.appFolder]) {
      if (folder !== undefined) this.tree.makeFolder(folder);
    }
    this.state = {
      tree: this.tree,
      now: this.now,
      pageLimit: options.pageLimit ?? 2000,
      jobPolls: options.jobPolls ?? 1,
      withLock: (write) => this.withLock(write),
      commitFailures: new Map(),
    };
    this.rooms = makeRooms(this.state);
    this.routes = routesOf(this.state, this.rooms, () => this.currentAccount());
    // Paths are in a header, each character of them as up to six.
    this.http = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
      void this.serve(request, response).catch(() => request.socket.destroy());
    });
    this.http.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  get deleteJobs(): DeleteJobs {
    return this.rooms.deleteJobs;
  }

  /** All calls. */
  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Bytes of all bodies that came in by these routes. */
  bodyBytes(...routes: string[]): number {
    return this.log
      .filter(({ route }) => routes.includes(route))
      .reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  }

  resetCounts(): void {
    this.counts = {};
    this.log = [];
  }

  /** Moves the server's clock. */
  advance(ms: number): void {
    this.offsetMs += ms;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.http.once('error', reject);
      this.http.listen(port, '127.0.0.1', resolve);
    });
    this.url = `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.http.close(resolve));
  }

  private readonly now = (): number => Date.now() + this.offsetMs;

  private async withLock<T>(write: () => T): Promise<T> {
    const { lockMs = 0, lockRetrySeconds = 0 } = this.options;
    if (lockMs === 0) return write();
    if (this.isLocked) throw rateLimitError('too_many_write_operations', lockRetrySeconds);
    this.isLocked = true;
    try {
      await delay(lockMs);
      return write();
    } finally {
      this.isLocked = false;
    }
  }

  private currentAccount(): Reply {
    const { teamHome } = this.options;
    const rootInfo =
      teamHome === undefined
        ? { '.tag': 'user', root_namespace_id: ROOT_NAMESPACE, home_namespace_id: ROOT_NAMESPACE }
        : {
            '.tag': 'team',
            root_namespace_id: ROOT_NAMESPACE,
            home_namespace_id: HOME_NAMESPACE,
            home_path: teamHome,
          };
    return {
      result: {
        account_id: this.account.accountId,
        name: {
          given_name: 'Franz',
          surname: 'Ferdinand',
          familiar_name: 'Franz',
          display_name: 'Franz Ferdinand',
          abbreviated_name: 'FF',
        },
        email: this.account.email,
        email_verified: true,
        disabled: false,
        locale: 'en',
        referral_link: 'https://db.tt/ZITNuhtI',
        is_paired: false,
        account_type: { '.tag': teamHome === undefined ? 'basic' : 'business' },
        root_info: rootInfo,
      },
    };
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, this.url);
    const body = await bytesOf(request);
    if (this.options.latencyMs) await delay(this.options.latencyMs);
    if (pathname === '/oauth2/token') return await this.serveToken(request, response, body);
    if (pathname === '/oauth2/authorize') return this.serveAuthorization(response, searchParams);
    const route = pathname.replace(/^\/2\//, '');
    this.counts[route] = (this.counts[route] ?? 0) + 1;
    const logged: LoggedCall = {
      route,
      status: 0,
      bodyBytes: body.length,
      argument: undefined,
      authorization: request.headers.authorization,
    };
    this.log.push(logged);
    const description = pathname.startsWith('/2/') ? this.routes[route] : undefined;
    let actions: FaultAction[] = [];
    let reply: Reply;
    try {
      const argument = description === undefined ? undefined : rawArgument(description, request, body);
      logged.argument = argument;
      actions = this.faults.strike(route, argument);
      if (await this.strikeBefore(actions, request, response, body)) return;
      if (description === undefined) throw new Refusal(404, `Unknown API function: "${route}"`);
      reply = await this.answer(route, description, request, argument, body);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      logged.status = error.status;
      if (actions.some(({ type }) => type === 'lose-answer')) return void request.socket.destroy();
      return sendRefusal(response, error);
    }
    logged.status = reply.status ?? 200;
    this.send(description!, reply, actions, request, response);
  }

  /** True where nothing is left to do. */
  private async strikeBefore(
    actions: readonly FaultAction[],
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
  ): Promise<boolean> {
    for (const action of actions) {
      const refusal = refusalOf(action);
      if (refusal !== undefined) throw refusal;
      if (action.type === 'delay') await delay(action.ms);
      if (action.type === 'stall') return true;
      if (action.type === 'corrupt-request' && body.length > 0) body[body.length >> 1]! ^= 1;
      if (action.type === 'cut-request') {
        request.socket.destroy();
        return true;
      }
      if (action.type === 'status') {
        const text = action.body ?? '<html>an error</html>';
        response.writeHead(action.status, { 'content-type': 'text/html', ...action.headers });
        response.end(text);
        return true;
      }
    }
    return false;
  }

  private async answer(
    route: string,
    description: Route,
    request: IncomingMessage,
    raw: unknown,
    body: Buffer,
  ): Promise<Reply> {
    this.authenticate(route, description, request.headers.authorization);
    checkContentType(route, description, request, body);
    const argument = checkArgument(route, description, raw);
    const view = this.viewOf(route, request.headers['dropbox-api-path-root']);
    const headers = request.headers as Record<string, string | undefined>;
    const call: Call = { route, view, body, headers, signal: this.stopping.signal };
    return await description.handle(call, argument as never);
  }

  private authenticate(route: string, description: Route, header: string | undefined): void {
    if (header === undefined) {
      throw badInput(route, 'Must provide HTTP header "Authorization" or URL parameter "authorization".');
    }
    const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/.exec(header)?.[1];
    if (token === undefined) {
      throw badInput(
        route,
        'Invalid authorization value in HTTP header "Authorization". Expecting "Bearer <access-token>".',
      );
    }
    const state = this.authorization.stateOf(token);
    if (state === 'unknown') throw authError('invalid_access_token');
    if (state === 'expired') throw authError('expired_access_token');
    if (!this.authorization.scopes.has(description.scope)) {
      throw authError('missing_scope', { required_scope: description.scope });
    }
  }

  /** Which folder the paths of this call are relative to: https://developers.dropbox.com/dbx-team-files-guide */
  private viewOf(route: string, header: string | string[] | undefined): View {
    const { teamHome, appFolder } = this.options;
    const home = new View(this.tree, appFolder ?? teamHome ?? '');
    if (header === undefined) return home;
    let root: Record<string, string>;
    try {
      root = JSON.parse(String(header));
    } catch {
      throw badInput(route, 'Invalid HTTP header "Dropbox-API-Path-Root": could not decode input as JSON');
    }
    const tag = root['.tag'];
    const id = tag === 'root' ? root.root : root.namespace_id;
    if (tag === 'home') return home;
    if (tag !== 'root' && tag !== 'namespace_id') {
      throw badInput(route, 'Invalid HTTP header "Dropbox-API-Path-Root": invalid tag');
    }
    if (appFolder !== undefined) {
      throw pathRootError({ '.tag': 'no_permission' });
    }
    if (id === ROOT_NAMESPACE) return new View(this.tree, '');
    if (id === HOME_NAMESPACE && teamHome !== undefined && tag === 'namespace_id') return home;
    if (tag === 'namespace_id') throw pathRootError({ '.tag': 'no_permission' });
    const rootInfo = (this.currentAccount().result as { root_info: unknown }).root_info;
    throw pathRootError({ '.tag': 'invalid_root', invalid_root: rootInfo });
  }

  private send(
    description: Route,
    reply: Reply,
    actions: readonly FaultAction[],
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    if (actions.some(({ type }) => type === 'lose-answer')) return void request.socket.destroy();
    const json = JSON.stringify(reply.result);
    const isDownload = description.style === 'download';
    let content = isDownload ? reply.content! : Buffer.from(json);
    if (actions.some(({ type }) => type === 'corrupt-answer') && content.length > 0) {
      content = Buffer.from(content);
      content[content.length >> 1]! ^= 1;
    }
    response.writeHead(reply.status ?? 200, {
      ...reply.headers,
      'content-type': isDownload ? 'application/octet-stream' : 'application/json',
      'content-length': content.length,
      ...(isDownload ? { 'dropbox-api-result': headerSafe(json) } : {}),
    });
    const cut = actions.find((action) => action.type === 'cut-answer');
    if (cut === undefined) response.end(content);
    else response.write(content.subarray(0, cut.afterBytes), () => request.socket.destroy());
  }

  private async serveToken(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    this.counts['oauth2/token'] = (this.counts['oauth2/token'] ?? 0) + 1;
    const actions = this.faults.strike('oauth2/token', undefined);
    if (await this.strikeBefore(actions, request, response, body)) return;
    const type = request.headers['content-type'] ?? '';
    const isForm = type.startsWith('application/x-www-form-urlencoded');
    // What is in the address counts too: the vendor's SDK sends its parameters there.
    const form = new URL(request.url!, this.url).searchParams;
    if (isForm) for (const [name, value] of new URLSearchParams(body.toString())) form.append(name, value);
    const answer = this.authorization.token(form, request.headers.authorization);
    response.writeHead(request.method === 'POST' ? answer.status : 405, {
      'content-type': 'application/json',
    });
    response.end(JSON.stringify(answer.body));
  }

  /** A user who agrees at once: shows the code, or leads back with it. */
  private serveAuthorization(response: ServerResponse, query: URLSearchParams): void {
    const agreed = this.authorization.authorize(query);
    if (agreed === undefined) {
      response.writeHead(400, { 'content-type': 'text/plain' });
      response.end('Invalid request');
    } else if (agreed.redirect !== undefined) {
      response.writeHead(302, { location: agreed.redirect });
      response.end();
    } else {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end(agreed.code);
    }
  }
}

/** 422: the root that was asked for can't be used. */
function pathRootError(error: { '.tag': string; [field: string]: unknown }): Refusal {
  return new Refusal(422, { error_summary: `${error['.tag']}/...`, error });
}

function sendRefusal(response: ServerResponse, { status, body, headers }: Refusal): void {
  const isText = typeof body === 'string';
  response.writeHead(status, {
    ...headers,
    'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
  });
  response.end(isText ? body : JSON.stringify(body));
}

function headerSafe(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
