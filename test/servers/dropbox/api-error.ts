/** What Dropbox answers when it refuses: https://www.dropbox.com/developers/documentation/http/documentation#error-handling */

/** A member of a union as JSON: `.tag` and what hangs on it. */
export interface Union {
  '.tag': string;
  [field: string]: unknown;
}

/** `path/conflict/file` as the nested unions it stands for; `fields` go to the innermost. */
export function unionOf(tags: string, fields: Record<string, unknown> = {}): Union {
  const [first = '', ...rest] = tags.split('/');
  if (rest.length === 0) return { '.tag': first, ...fields };
  return { '.tag': first, [first]: unionOf(rest.join('/'), fields) };
}

/** An answer that is no success. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    /** Text, or what becomes JSON. */
    readonly body: string | Record<string, unknown>,
    readonly headers: Record<string, string> = {},
  ) {
    super(typeof body === 'string' ? body : JSON.stringify(body));
  }
}

/** 409: "Endpoint-specific error. Look to the JSON response body for the specifics of the error." */
export function endpointError(error: Union): Refusal {
  return new Refusal(409, { error_summary: summaryOf(error), error });
}

/** 409 of `path/not_found` and the like. */
export function refusedBecause(tags: string, fields: Record<string, unknown> = {}): Refusal {
  return endpointError(unionOf(tags, fields));
}

/** 400: "Bad input parameter. The response body is a plaintext message with more information." */
export function badInput(route: string, message: string): Refusal {
  return new Refusal(400, `Error in call to API function "${route}": ${message}`);
}

/** 401: "Bad or expired token." */
export function authError(tag: string, fields: Record<string, unknown> = {}): Refusal {
  const error: Union = { '.tag': tag, ...fields };
  return new Refusal(401, { error_summary: summaryOf(error), error });
}

/** 429 with the seconds to wait. https://www.dropbox.com/developers/reference/data-ingress-guide */
export function rateLimitError(
  reason: 'too_many_requests' | 'too_many_write_operations',
  seconds: number,
): Refusal {
  return new Refusal(
    429,
    {
      error_summary: `${reason}/${dots()}`,
      error: { reason: { '.tag': reason }, retry_after: seconds },
    },
    { 'retry-after': String(seconds) },
  );
}

function summaryOf(error: Union): string {
  const tags: string[] = [];
  for (let current: unknown = error; isUnion(current); ) {
    const tag: string = current['.tag'];
    tags.push(tag);
    current = current[tag] ?? current.reason;
  }
  return `${tags.join('/')}/${dots()}`;
}

function isUnion(value: unknown): value is Union {
  return typeof value === 'object' && value !== null && '.tag' in value;
}

/** Summaries end in a number of dots that means nothing, so that nobody compares them. */
function dots(): string {
  return '.'.repeat(1 + Math.floor(Math.random() * 3));
}
