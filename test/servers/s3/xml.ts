import { s3Error } from './s3-error.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to be escaped
const SPECIAL = /[&<>"\u0000-\u001f\u007f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to be escaped
const EVERY_SPECIAL = /[&<>"\u0000-\u001f\u007f\ufffe\uffff]/g;
const NAMED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text for XML. Control characters become character references, as S3 writes them, although XML 1.0 forbids most. */
export function escapeXml(text: string): string {
  if (!SPECIAL.test(text)) return text;
  return text.replace(EVERY_SPECIAL, (c) => NAMED[c] ?? `&#x${c.charCodeAt(0).toString(16)};`);
}

/** `<name>text</name>`, nothing for undefined. */
export function element(name: string, text: string | number | boolean | undefined): string {
  return text === undefined ? '' : `<${name}>${escapeXml(String(text))}</${name}>`;
}

export const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n';
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** A whole answer. */
export function xmlDocument(root: string, content: string): string {
  return `${XML_HEAD}<${root} xmlns="${NAMESPACE}">${content}</${root}>`;
}

/** An element of a request. */
export interface XmlElement {
  name: string;
  children: XmlElement[];
  text: string;
}

const TOKEN =
  /<\?[^?]*\?>|<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;

/** Parses a request's document; MalformedXML where it isn't well-formed or its root isn't `root`. */
export function parseXml(source: Buffer, root: string): XmlElement {
  const malformed = () => s3Error('MalformedXML');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(source);
  } catch {
    throw malformed();
  }
  const top: XmlElement = { name: '', children: [], text: '' };
  const stack = [top];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text);
    const parent = stack[stack.length - 1] as XmlElement;
    if (token === null) throw malformed();
    const [, cdata, closing, name, attributes, empty, characters] = token;
    if (name !== undefined) {
      if (closing === '/') {
        if (stack.length < 2 || parent.name !== name || empty === '/' || attributes !== '') throw malformed();
        stack.pop();
      } else {
        const child: XmlElement = { name, children: [], text: '' };
        parent.children.push(child);
        if (empty !== '/') stack.push(child);
      }
    } else if (cdata !== undefined) parent.text += cdata;
    else if (characters !== undefined) {
      if (stack.length === 1 && characters.trim() !== '') throw malformed();
      parent.text += unescapeXml(characters.replace(/\r\n?/g, '\n'));
    }
  }
  const [first, ...rest] = top.children;
  if (stack.length !== 1 || first === undefined || rest.length > 0 || first.name !== root) throw malformed();
  return first;
}

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&([^;&]*)(;?)/g, (_, body: string, end: string) => {
    if (end === '') throw s3Error('MalformedXML');
    const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[body];
    if (named !== undefined) return named;
    const number = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(body);
    const code = number === null ? -1 : number[1] ? Number.parseInt(number[1], 16) : Number(number[2]);
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw s3Error('MalformedXML');
    return String.fromCodePoint(code);
  });
}

/** The only child called `name`, or undefined; MalformedXML where there are several. */
export function childOf(parent: XmlElement, name: string): XmlElement | undefined {
  const found = parent.children.filter((child) => child.name === name);
  if (found.length > 1) throw s3Error('MalformedXML');
  return found[0];
}

/** Text of that child. */
export function childText(parent: XmlElement, name: string): string | undefined {
  return childOf(parent, name)?.text;
}

/** MalformedXML where an element has children this server doesn't know. */
export function onlyChildren(parent: XmlElement, known: readonly string[]): void {
  for (const child of parent.children) {
    if (!known.includes(child.name)) throw s3Error('MalformedXML', { details: { Element: child.name } });
  }
}
