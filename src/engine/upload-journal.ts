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

/** An upload that was asked for; whether the provider began it, and under which name, isn't known (yet). */
export interface BegunUpload {
  key: string;
  /** Path of the file, relative. */
  path: string;
  /** When it was asked for, each time; ms since the epoch by the server's clock. */
  times: number[];
}

interface Line {
  /** Key of the destination. */
  key: string;
  upload?: JournaledUpload;
  begun?: BegunUpload;
  // Neither of both: this one is over.
}

/** Of an upload that is asked for again and again without an answer. */
const TIMES_KEPT = 20;

export class UploadJournal {
  private readonly open = new Map<string, JournaledUpload>();
  private readonly begun = new Map<string, BegunUpload>();
  private descriptor: number | undefined;

  constructor(private readonly file: string) {
    if (!existsSync(file)) return;
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      const line = parseLine(text);
      if (line === undefined) continue;
      if (line.upload !== undefined) this.open.set(line.key, line.upload);
      else this.open.delete(line.key);
      if (line.begun !== undefined) this.begun.set(line.key, line.begun);
      else this.begun.delete(line.key);
    }
    this.rewrite();
  }

  /** What earlier runs left unfinished, and this one hasn't taken up. */
  get unfinished(): readonly JournaledUpload[] {
    return [...this.open.values()];
  }

  /** Uploads that were asked for, by this run or an earlier one, without an answer that came through. */
  get unanswered(): readonly BegunUpload[] {
    return [...this.begun.values()];
  }

  find(key: string): JournaledUpload | undefined {
    return this.open.get(key);
  }

  /** Call it before an upload is asked for: on disk, whatever happens next, when this returns. `time` as in `times`. */
  beginning(key: string, path: string, time: number): void {
    const times = [...(this.begun.get(key)?.times ?? []), time].slice(-TIMES_KEPT);
    const begun = { key, path, times };
    this.begun.set(key, begun);
    this.write({ key, upload: this.open.get(key), begun });
  }

  /**
   * On disk, whatever happens next, when this returns. `isOnlyOne`: no earlier attempt to begin one can have left
   * anything.
   */
  started(upload: JournaledUpload, isOnlyOne = true): void {
    const { key } = upload.state;
    this.open.set(key, upload);
    const begun = isOnlyOne ? undefined : this.begun.get(key);
    if (begun === undefined) this.begun.delete(key);
    this.write({ key, upload, begun });
  }

  /** Complete or removed. */
  finished(key: string): void {
    if (this.open.delete(key)) this.write({ key, begun: this.begun.get(key) });
  }

  /** Nothing is left of what was asked for. */
  answered(key: string): void {
    if (this.begun.delete(key)) this.write({ key, upload: this.open.get(key) });
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
    if (this.open.size + this.begun.size === 0) {
      rmSync(this.file, { force: true });
      return;
    }
    const lines = [...new Set([...this.open.keys(), ...this.begun.keys()])].map((key) =>
      JSON.stringify({ key, upload: this.open.get(key), begun: this.begun.get(key) } satisfies Line),
    );
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
