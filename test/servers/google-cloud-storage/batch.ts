/** Several calls in one request: https://cloud.google.com/storage/docs/batch */

import { ApiError, invalid } from './api-error.js';
import type { Answer, Call } from './call.js';

/** "You should include no more than 100 calls in a single batch request." */
const MAX_CALLS = 100;

/** One call as it stands in a batch. */
export interface InnerCall {
  method: string;
  /** Path and query. */
  target: string;
  headers: Record<string, string>;
  body: Buffer;
}

/** Carries the calls out one by one; each part of the answer bears the Content-ID of its call, `response-` before it. */
export function answerBatch(call: Call, carryOut: (inner: InnerCall) => Answer): Answer {
  const type = call.headers['content-type'] ?? '';
  const boundary = /^multipart\/mixed;.*\bboundary="?([^";]+)"?/i.exec(type)?.[1];
  if (boundary === undefined) throw invalid('Failed to parse batch request: no boundary.');
  const text = call.body.toString();
  if (!text.trimEnd().endsWith(`--${boundary}--`)) throw invalid('Failed to parse batch request: no end.');
  const parts = text.split(`--${boundary}`).slice(1, -1);
  if (parts.length === 0) throw invalid('Failed to parse batch request: no calls.');
  if (parts.length > MAX_CALLS) {
    throw new ApiError(
      400,
      'invalid',
      `The batch request holds ${parts.length} calls, more than ${MAX_CALLS}.`,
    );
  }
  const answerBoundary = 'batch_9kQ3xEfZ';
  let body = '';
  for (const part of parts) {
    const { id, inner } = readPart(part);
    const answer = carryOut(inner);
    body += `--${answerBoundary}\r\nContent-Type: application/http\r\nContent-ID: <response-${id}>\r\n\r\n`;
    body += `HTTP/1.1 ${answer.status} ${answer.status < 300 ? 'OK' : 'Error'}\r\n`;
    for (const [name, value] of Object.entries(answer.headers)) body += `${name}: ${String(value)}\r\n`;
    body += `Content-Length: ${answer.body.length}\r\n\r\n${answer.body.toString()}\r\n`;
  }
  return {
    status: 200,
    headers: { 'content-type': `multipart/mixed; boundary=${answerBoundary}` },
    body: Buffer.from(`${body}--${answerBoundary}--\r\n`),
  };
}

function readPart(part: string): { id: string; inner: InnerCall } {
  const [outer = '', head = '', ...rest] = part.replace(/^\r\n/, '').split('\r\n\r\n');
  if (!/^content-type:\s*application\/http\s*$/im.test(outer)) {
    throw invalid('Failed to parse batch request: a part is not application/http.');
  }
  const id = /^content-id:\s*<([^>]+)>\s*$/im.exec(outer)?.[1];
  if (id === undefined) throw invalid('Failed to parse batch request: a part without Content-ID.');
  const [line = '', ...lines] = head.split('\r\n');
  const request = /^(GET|PATCH|DELETE|POST) (\/\S+)(?: HTTP\/1\.1)?$/.exec(line);
  if (request === null) throw invalid('Failed to parse batch request: no request line.');
  const headers: Record<string, string> = {};
  for (const text of lines) {
    const colon = text.indexOf(':');
    if (colon > 0) headers[text.slice(0, colon).toLowerCase()] = text.slice(colon + 1).trim();
  }
  const body = Buffer.from(rest.join('\r\n\r\n').replace(/\r\n$/, ''));
  return { id, inner: { method: request[1]!, target: request[2]!, headers, body } };
}
