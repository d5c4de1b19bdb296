/**
 * Arguments as strict as Dropbox checks them: types, patterns, ranges, required fields, and no field it doesn't know.
 * What each route takes is written in https://github.com/dropbox/dropbox-api-spec (files.stone, async.stone).
 */

/** Says what is wrong with an argument. */
export class BadArgument extends Error {}

export type Check<T> = (value: unknown, at: string) => T;

interface Field<T> {
  check: Check<T>;
  /** What stands for a missing one; a field without is required. */
  fallback?: () => T;
}

type Fields = Record<string, Field<unknown>>;
export type StructOf<F extends Fields> = { [Name in keyof F]: F[Name] extends Field<infer T> ? T : never };

export function required<T>(check: Check<T>): Field<T> {
  return { check };
}

export function withDefault<T>(check: Check<T>, value: T): Field<T> {
  return { check, fallback: () => value };
}

/** May be missing or null. */
export function optional<T>(check: Check<T>): Field<T | undefined> {
  return {
    check: (value, at) => (value === null ? undefined : check(value, at)),
    fallback: () => undefined,
  };
}

export function struct<F extends Fields>(fields: F): Check<StructOf<F>> {
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new BadArgument(`${at}expected object, got ${typeName(value)}`);
    }
    const given = value as Record<string, unknown>;
    for (const name of Object.keys(given)) {
      // A struct may be sent with its name as tag.
      if (name !== '.tag' && fields[name] === undefined)
        throw new BadArgument(`${at}unknown field '${name}'`);
    }
    const result: Record<string, unknown> = {};
    for (const [name, { check, fallback }] of Object.entries(fields)) {
      if (name in given) result[name] = check(given[name], `${at}${name}: `);
      else if (fallback === undefined) throw new BadArgument(`${at}missing required field '${name}'`);
      else result[name] = fallback();
    }
    return result as StructOf<F>;
  };
}

export function text(
  limits: { pattern?: RegExp; minLength?: number; maxLength?: number } = {},
): Check<string> {
  return (value, at) => {
    if (typeof value !== 'string') throw new BadArgument(`${at}expected string, got ${typeName(value)}`);
    const { pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY } = limits;
    if (pattern !== undefined && pattern.exec(value)?.[0] !== value) {
      throw new BadArgument(`${at}'${value}' did not match pattern '${pattern.source}'`);
    }
    if (value.length < minLength || value.length > maxLength) {
      throw new BadArgument(`${at}'${value}' has the wrong length`);
    }
    return value;
  };
}

export const boolean: Check<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw new BadArgument(`${at}expected boolean, got ${typeName(value)}`);
  return value;
};

export function integer(min: number, max = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, at) => {
    if (!Number.isInteger(value)) throw new BadArgument(`${at}expected integer, got ${typeName(value)}`);
    const number = value as number;
    if (number < min || number > max) throw new BadArgument(`${at}${number} is not within ${min} and ${max}`);
    return number;
  };
}

/** `%Y-%m-%dT%H:%M:%SZ`, whole seconds; ms since the epoch. */
export const timestamp: Check<number> = (value, at) => {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value)) {
    throw new BadArgument(`${at}time data '${String(value)}' does not match format '%Y-%m-%dT%H:%M:%SZ'`);
  }
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw new BadArgument(`${at}'${value}' is no time`);
  return time;
};

export function list<T>(check: Check<T>, maxItems: number): Check<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw new BadArgument(`${at}expected list, got ${typeName(value)}`);
    if (value.length > maxItems) throw new BadArgument(`${at}list must have at most ${maxItems} items`);
    return value.map((item, index) => check(item, `${at}[${index}]: `));
  };
}

/**
 * A union: a void member may be given as its bare name, one with a value may not.
 * https://www.dropbox.com/developers/documentation/http/documentation#formats
 */
export function union<T>(members: Record<string, Check<T> | undefined>): Check<{ tag: string; value?: T }> {
  return (value, at) => {
    const tag = typeof value === 'string' ? value : (value as Record<string, unknown> | null)?.['.tag'];
    if (typeof tag !== 'string' || !(tag in members))
      throw new BadArgument(`${at}invalid tag '${String(tag)}'`);
    const check = members[tag];
    if (check === undefined) return { tag };
    if (typeof value === 'string') throw new BadArgument(`${at}expected object for tag '${tag}', got symbol`);
    return { tag, value: check((value as Record<string, unknown>)[tag], `${at}${tag}: `) };
  };
}

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value;
}

/** `/(.|[\r\n])*` in the language Dropbox writes it in, where the dot means more than in JavaScript. */
const PATH = '/[\\s\\S]*';
const NAMESPACE_PATH = `ns:[0-9]+(${PATH})?`;
const pattern = (source: string) => new RegExp(`^(?:${source})$`, 'u');

export const readPath = text({ pattern: pattern(`(${PATH}|id:.*)|(rev:[0-9a-f]{9,})|(${NAMESPACE_PATH})`) });
export const writePath = text({ pattern: pattern(`(${PATH})|(${NAMESPACE_PATH})`) });
export const writePathOrId = text({ pattern: pattern(`(${PATH})|(${NAMESPACE_PATH})|(id:.*)`) });
export const pathOrId = text({ pattern: pattern(`${PATH}|id:.*|(${NAMESPACE_PATH})`) });
export const folderPath = text({ pattern: pattern(`(${PATH})?|id:.*|(${NAMESPACE_PATH})`) });
export const revision = text({ pattern: /^[0-9a-f]+$/, minLength: 9 });
export const contentHash = text({ minLength: 64, maxLength: 64 });
