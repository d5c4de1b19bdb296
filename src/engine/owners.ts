/** Files that could not be given their owner, because that takes more rights: counted, and one warning for all. */

import { CloudSyncError } from '../errors.js';

/** A file whose owner is another than it should be. */
export interface OwnerNotKept {
  /** Key in the local folder. */
  key: string;
  /** Who it should belong to; undefined: as it is. */
  uid?: number;
  gid?: number;
}

/** Owners that are told apart. */
const MOST_OWNERS = 100;

export class OwnersNotKept {
  /** Files. */
  count = 0;
  private first: OwnerNotKept | undefined;
  private readonly owners = new Map<string, number>();

  /**
   * @param folder absolute path of the local folder, for the command
   * @param onFile told of each file, for the log
   */
  constructor(
    private readonly folder: string,
    private readonly onFile: (file: OwnerNotKept, owner: string) => void = () => {},
  ) {}

  note(file: OwnerNotKept): void {
    this.count++;
    this.first ??= file;
    const owner = ownerText(file);
    if (this.owners.has(owner) || this.owners.size < MOST_OWNERS) {
      this.owners.set(owner, (this.owners.get(owner) ?? 0) + 1);
    }
    this.onFile(file, owner);
  }

  /** The one warning; undefined where there was no such file. */
  warning(isPreview: boolean): CloudSyncError | undefined {
    if (this.first === undefined) return undefined;
    const owners = [...this.owners].slice(0, 5).map(([owner, count]) => `${owner} (${count})`);
    const more = this.owners.size > owners.length ? ' ...' : '';
    const files = this.count === 1 ? '1 file' : `${this.count} files`;
    return new CloudSyncError(
      'NO_PERMISSION',
      `${files} ${isPreview ? 'can' : 'could'} not be given to the owner, uid:gid ${owners.join(', ')}${more}`,
      { path: '', advice: this.advice() },
    );
  }

  private advice(): string {
    const [[owner] = ['']] = this.owners;
    const user = process.geteuid?.();
    if (this.owners.size === 1 && user !== undefined) {
      return `As root: chown -hR --from=${user} ${owner} ${quoted(this.folder)}`;
    }
    const path = `${this.folder.replace(/\/+$/, '')}/${this.first!.key}`;
    return `As root, for each as the run's log names them: chown -h ${ownerText(this.first!)} ${quoted(path)}`;
  }
}

/** As chown(1) takes it: `1000:1000`, `1000`, `:1000`. */
function ownerText({ uid, gid }: OwnerNotKept): string {
  return `${uid ?? ''}${gid === undefined ? '' : `:${gid}`}`;
}

/** For a shell. */
function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
