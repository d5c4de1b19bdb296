/** The little XML that S3 speaks, read and written without a parser: flat records of text elements. */

/** Text of the first element called `name`, undefined where there is none. */
export function elementText(xml: string, name: string): string | undefined {
  const start = openingTagEnd(xml, name, 0);
  if (start === -1) return undefined;
  if (xml.charCodeAt(start - 2) === SLASH) return '';
  const end = xml.indexOf(`</${name}`, start);
  return end === -1 ? undefined : unescapeXml(xml.slice(start, end));
}

/** What lies inside each element called `name`. */
export function* elements(xml: string, name: string): Generator<string> {
  let position = 0;
  for (;;) {
    const start = openingTagEnd(xml, name, position);
    if (start === -1) return;
    if (xml.charCodeAt(start - 2) === SLASH) {
      yield '';
      position = start;
      continue;
    }
    const end = xml.indexOf(`</${name}>`, start);
    if (end === -1) return;
    yield xml.slice(start, end);
    position = end;
  }
}

/** Name of the outermost element, '' where this is no XML. */
export function rootName(xml: string): string {
  return /^\s*(?:\ufeff)?(?:<\?[^>]*\?>\s*)?(?:<!--[\s\S]*?-->\s*)*<([A-Za-z][\w.-]*)/.exec(xml)?.[1] ?? '';
}

/** Position after `<name ...>`, -1 where there is none. */
function openingTagEnd(xml: string, name: string, from: number): number {
  let position = from;
  for (;;) {
    position = xml.indexOf(`<${name}`, position);
    if (position === -1) return -1;
    const after = xml.charCodeAt(position + name.length + 1);
    if (
      after === GREATER ||
      after === SLASH ||
      after === SPACE ||
      after === 10 ||
      after === 13 ||
      after === 9
    ) {
      const end = xml.indexOf('>', position);
      return end === -1 ? -1 : end + 1;
    }
    position += 1;
  }
}

const SLASH = 47;
const GREATER = 62;
const SPACE = 32;

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Resolves XML's own entities and character references. */
export function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
    const code = hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal, 10);
    // Half a pair is no character (XML 1.0, 2.2).
    const isCharacter = code < 0xd800 || (code > 0xdfff && code <= 0x10ffff);
    return isCharacter ? String.fromCodePoint(code) : whole;
  });
}

/** Text as the content of an element; a carriage return has to be a reference or parsers read it as a line feed. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"\r\n\t\u0085\u2028]/g, (character) => {
    if (character === '&') return '&amp;';
    if (character === '<') return '&lt;';
    if (character === '>') return '&gt;';
    if (character === '"') return '&quot;';
    return `&#x${character.charCodeAt(0).toString(16)};`;
  });
}

/** Whether XML 1.0 can carry all characters of `text` (2.2 Characters). */
export function isXmlText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters XML 1.0 has no way to write
  return !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text);
}
