/** Admin HTTP routes: permission, input and errors handled in one place. */

import type { Request, Response } from 'express';
import { asCloudSyncError, CloudSyncError } from '../src/errors.js';
import type { RED } from './requests.js';

export interface RouteInput {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, unknown>>;
  body: Readonly<Record<string, unknown>>;
  /** Fires when the browser has gone. */
  signal: AbortSignal;
}

export type RouteHandler = (input: RouteInput) => Promise<unknown> | unknown;

/** Routes are added once per process, node types may be registered more often. */
const added = new WeakMap<object, Set<string>>();

function isFirst(app: object, route: string): boolean {
  const routes = added.get(app) ?? new Set<string>();
  added.set(app, routes);
  if (routes.has(route)) return false;
  routes.add(route);
  return true;
}

function sendError(response: Response, error: unknown): void {
  const { code, message, advice, field } = asCloudSyncError(error);
  const status = code === 'NOT_FOUND' ? 404 : code === 'INTERNAL' ? 500 : 400;
  response.status(status).json({ code, message, advice, field });
}

function bodyOf(request: Request): Record<string, unknown> {
  // A form on another web site can post to this one, but not JSON without asking first.
  if (!request.is('json')) throw new CloudSyncError('INVALID_INPUT', 'The request has to be JSON');
  const body: unknown = request.body;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new CloudSyncError('INVALID_INPUT', 'The request has to be a JSON object');
  }
  return body as Record<string, unknown>;
}

/**
 * Adds `GET` or `POST /cloud-sync/<path>`: a GET reads and needs `cloud-sync.read`, a POST acts or uses secrets and needs
 * `cloud-sync.write`. What the handler gives is the answer; what it throws becomes `{code, message, advice, field}`.
 */
export function addRoute(RED: RED, method: 'get' | 'post', path: string, handler: RouteHandler): void {
  const url = `/cloud-sync/${path}`;
  if (!isFirst(RED.httpAdmin, `${method} ${url}`)) return;
  const permission = RED.auth.needsPermission(method === 'get' ? 'cloud-sync.read' : 'cloud-sync.write');
  RED.httpAdmin[method](url, permission, async (request: Request, response: Response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const answer = await handler({
        params: request.params as Record<string, string>,
        query: request.query,
        body: method === 'post' ? bodyOf(request) : {},
        signal: gone.signal,
      });
      response.set('Cache-Control', 'no-store').json(answer ?? {});
    } catch (error) {
      if (!response.headersSent) sendError(response, error);
    }
  });
}

/** A text of the request's body. */
export function textOf(body: Readonly<Record<string, unknown>>, field: string): string {
  const value = body[field] ?? '';
  const isText = typeof value === 'string' && value.length <= 65_536 && value.isWellFormed();
  if (!isText || value.includes('\0')) {
    throw new CloudSyncError('INVALID_INPUT', `${field} has to be text`, { field });
  }
  return value;
}
