/** What a request has to be like before its route sees it. */

import type { IncomingMessage } from 'node:http';
import { badInput } from './api-error.js';
import { BadArgument } from './arguments.js';
import type { Route } from './routes.js';

/** JSON in a header or a body; undefined where there is none. */
export function rawArgument({ style }: Route, request: IncomingMessage, body: Buffer): unknown {
  if (style === 'rpc') return body.length === 0 ? undefined : parseOr(body.toString('utf8'));
  const header = request.headers['dropbox-api-arg'];
  if (header === undefined) return undefined;
  return parseOr(String(header));
}

const NO_JSON = Symbol('no JSON');

function parseOr(text: string): unknown {
  // https://www.dropbox.com/developers/reference/json-encoding: the header has to be escaped to ASCII.
  try {
    return JSON.parse(text);
  } catch {
    return NO_JSON;
  }
}

export function checkArgument(route: string, { style, check }: Route, raw: unknown): unknown {
  const place = style === 'rpc' ? 'request body' : 'HTTP header "Dropbox-API-Arg"';
  if (raw === NO_JSON) throw badInput(route, `${place}: could not decode input as JSON`);
  if (check === undefined) {
    if (raw !== undefined && raw !== null) throw badInput(route, `${place}: expected null`);
    return undefined;
  }
  if (raw === undefined && style !== 'rpc') {
    throw badInput(route, 'Must provide HTTP header "Dropbox-API-Arg" or URL parameter "arg".');
  }
  try {
    return check(raw, '');
  } catch (error) {
    if (error instanceof BadArgument) throw badInput(route, `${place}: ${error.message}`);
    throw error;
  }
}

export function checkContentType(
  route: string,
  { style }: Route,
  request: IncomingMessage,
  body: Buffer,
): void {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
  const header = request.headers['dropbox-api-arg'];
  if (header !== undefined && /[^\x20-\x7e]/.test(String(header))) {
    throw badInput(route, 'HTTP header "Dropbox-API-Arg": could not decode input as JSON');
  }
  const allowed =
    style === 'rpc'
      ? body.length === 0 || type === 'application/json'
      : style === 'upload'
        ? type === 'application/octet-stream'
        : type === '' || type === 'text/plain' || type === 'application/octet-stream';
  if (request.method !== 'POST' && !(style === 'download' && request.method === 'GET')) {
    throw badInput(
      route,
      `Your request's method is ${request.method}. This function can be called with POST.`,
    );
  }
  if (!allowed) {
    throw badInput(route, `Bad HTTP "Content-Type" header: "${type}".`);
  }
}

export async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
