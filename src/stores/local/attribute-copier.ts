/**
 * Copies ACL and extended attributes from the file that is replaced to the one that takes its place. Node.js can't, so
 * a helper does: one Python process for all (well under 0.1 ms a file; a program started for each file would cost 3 ms),
 * or `cp` of GNU coreutils for each file where there is no Python. Where there is neither (a bare Alpine), it can't be
 * done, which is said once. POSIX ACLs are the extended attribute `system.posix_acl_access` (acl(5)).
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CloudSyncError } from '../../errors.js';
import { askHelper, leaveHelper } from './attribute-helper.js';
import type { DiskName } from './file-names.js';

const execFileAsync = promisify(execFile);

export class AttributeCopier {
  #way: 'helper' | 'cp' | 'none';
  readonly #onProblem: (problem: CloudSyncError) => void;

  /**
   * `onProblem` is told once if there is no way, and of each file that some attribute can't be kept of; `onOwnerNotKept`
   * is for who gives files their owners.
   */
  constructor(
    onProblem: (problem: CloudSyncError) => void,
    readonly onOwnerNotKept: (file: { key: string; uid?: number; gid?: number }) => void = () => {},
  ) {
    this.#onProblem = onProblem;
    this.#way = process.platform === 'linux' ? 'helper' : 'none';
  }

  /**
   * Gives `target` (the kernel's name of an open file) the ACL and extended attributes of the file `source`. Never fails:
   * what can't be kept is a problem told.
   */
  async copy(source: DiskName, target: string, key: string): Promise<void> {
    if (this.#way === 'helper') {
      const failed = await askHelper(this, source, target);
      if (failed === undefined) this.#way = 'cp';
      else if (failed !== '') this.#onProblem(notKept(key, failed));
    }
    if (this.#way !== 'cp') return;
    if (typeof source !== 'string') {
      // A name that is no text can't be an argument of a program here.
      this.#onProblem(notKept(key, 'all'));
    } else if (!(await copyWithCp(source, target))) {
      this.#way = 'none';
      this.#onProblem(noWay());
    }
  }

  close(): void {
    leaveHelper(this);
  }
}

async function copyWithCp(source: string, target: string): Promise<boolean> {
  const options = ['--attributes-only', '--no-dereference', '--preserve=mode,ownership,xattr'];
  try {
    await execFileAsync('cp', [...options, '--', source, target]);
    return true;
  } catch (error) {
    // An attribute that this file system refuses is 1 too; only a cp that isn't GNU's doesn't know the options.
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    return code !== 'ENOENT' && !/unrecognized option|invalid option/i.test(stderr);
  }
}

function notKept(key: string, attributes: string): CloudSyncError {
  return new CloudSyncError('NO_PERMISSION', `Attributes of the replaced file were not kept: ${attributes}`, {
    path: key,
    advice: 'Set them again, or run Node-RED as a user that may.',
  });
}

function noWay(): CloudSyncError {
  return new CloudSyncError('NOT_SUPPORTED', 'ACLs and extended attributes of replaced files are not kept', {
    advice: 'Install Python 3 or GNU coreutils.',
  });
}
