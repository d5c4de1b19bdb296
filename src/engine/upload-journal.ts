/**
 * Uploads and large downloads in progress, written down before their first byte: what an aborted or killed run leaves
 * is taken up by the next one or removed. Only what stands here is ever resumed or removed; other programs' uploads
 * are theirs. The states may hold resumable addresses, which are secrets: mode 0600.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { UploadState } from '../stores/store.js';

export interface JournaledUpload {
  /** Path of the file, relative. */
  path: string;
  /** Everything by which the source is recognised: only exactly the same content is taken up. */
  fingerprint: string;
  state: UploadState;
}

interface Line {
  /** Key of the destination. */
  key: string;
  /** Missing: this one is over. */
  upload?: JournaledUpload;
}

export class UploadJournal {
  private readonly open = new Map<string, JournaledUpload>();
  private descriptor: number | undefined;

  constructor(private readonly file: string) {
    if (!existsSync(file)) return;
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      const line = parseLine(text);
      if (line?.upload !== undefined) this.open.set(line.key, line.upload);
      else if (line !== undefined) this.open.delete(line.key);
    }
    this.rewrite();
  }

  /** What earlier runs left unfinished, and this one hasn't taken up. */
  get unfinished(): readonly JournaledUpload[] {
    return [...this.open.values()];
  }

  find(key: string): JournaledUpload | undefined {
    return this.open.get(key);
  }

  /** On disk, whatever happens next, when this returns. */
  started(upload: JournaledUpload): void {
    this.open.set(upload.state.key, upload);
    this.write({ key: upload.state.key, upload });
  }

  /** Complete or removed. */
  finished(key: string): void {
    if (this.open.delete(key)) this.write({ key });
  }

  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
    this.rewrite();
  }

  private write(line: Line): void {
    if (this.descriptor === undefined) {
      mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
      this.descriptor = openSync(this.file, 'a', 0o600);
    }
    writeSync(this.descriptor, `${JSON.stringify(line)}\n`);
    fsyncSync(this.descriptor);
  }

  /** Only what is still open. */
  private rewrite(): void {
    if (this.open.size === 0) {
      rmSync(this.file, { force: true });
      return;
    }
    const lines = [...this.open].map(([key, upload]) => JSON.stringify({ key, upload }));
    writeFileSync(`${this.file}.new`, `${lines.join('\n')}\n`, { mode: 0o600, flush: true });
    renameSync(`${this.file}.new`, this.file);
  }
}

function parseLine(text: string): Line | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as Line;
  } catch {
    // Half a line after a power cut: the upload in it had not begun.
    return undefined;
  }
}
