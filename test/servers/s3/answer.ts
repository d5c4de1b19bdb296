import type { Content } from './blobs.js';
import { xmlDocument } from './xml.js';

/** What goes back. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  /** A document. */
  body?: string;
  /** Or a stretch of an object. */
  content?: { content: Content; offset: number; length: number; release: () => void };
}

export function emptyAnswer(status: number, headers: Record<string, string> = {}): Answer {
  return { status, headers };
}

export function xmlAnswer(root: string, content: string, headers: Record<string, string> = {}): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml', ...headers },
    body: xmlDocument(root, content),
  };
}
