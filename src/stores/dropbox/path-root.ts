/**
 * Which folder the paths are relative to. Members of a team with a space of its own see that space as the root, their own
 * folder in it (as TrueNAS and rclone's paths with a slash in front do); an app that is confined to its app folder has
 * that as its root and may name no other. https://developers.dropbox.com/dbx-team-files-guide
 */

import { CloudSyncError, hasCode } from '../../errors.js';
import { DropboxAnswerError } from './errors.js';

/** users/get_current_account, as far as it is used. */
export interface FullAccount {
  account_id: string;
  email: string;
  name: { display_name: string };
  root_info: RootInfo;
}

interface RootInfo {
  '.tag': 'team' | 'user';
  root_namespace_id: string;
  home_namespace_id: string;
  home_path?: string;
}

/** Asks users/get_current_account, without a root. */
type AskAccount = (options: { maxAttempts?: number; signal?: AbortSignal }) => Promise<FullAccount>;

export class PathRoot {
  readonly #askAccount: AskAccount;
  #account: FullAccount | undefined;
  #asking: Promise<void> | undefined;
  #namespace: string | undefined;
  #isKnown = false;

  constructor(askAccount: AskAccount) {
    this.#askAccount = askAccount;
  }

  /** Undefined where the app may not ask. */
  get account(): FullAccount | undefined {
    return this.#account;
  }

  /** The member's own folder in the team's space, where there is one and it is the root. */
  get homePath(): string | undefined {
    return this.#namespace === undefined ? undefined : this.#account?.root_info.home_path;
  }

  /** Value of Dropbox-API-Path-Root; undefined where none is sent. {@link ask} comes before it. */
  header(): string | undefined {
    if (this.#namespace === undefined) return undefined;
    return JSON.stringify({ '.tag': 'root', root: this.#namespace });
  }

  /** Asks whose the account is, the first time; `again`: in any case. */
  async ask(options: { again?: boolean; maxAttempts?: number; signal?: AbortSignal } = {}): Promise<void> {
    if (this.#isKnown && options.again !== true) return;
    this.#asking ??= this.#learn(options).finally(() => {
      this.#asking = undefined;
    });
    try {
      await this.#asking;
    } catch (error) {
      // Stopped by another caller's signal, not by ours.
      if (!hasCode(error, 'ABORTED') || options.signal?.aborted === true) throw error;
      await this.ask(options);
    }
  }

  /** A root was refused (422). True where the call may be tried again with another one. */
  reset(error: CloudSyncError): boolean {
    const { cause } = error;
    if (!(cause instanceof DropboxAnswerError)) return false;
    if (cause.tags.startsWith('no_permission')) {
      // An app that is confined to its folder.
      this.#namespace = undefined;
      return true;
    }
    const latest = (cause.error as { invalid_root?: RootInfo } | undefined)?.invalid_root;
    if (!isRootInfo(latest)) return false;
    this.#take(latest);
    return true;
  }

  async #learn(options: { maxAttempts?: number; signal?: AbortSignal }): Promise<void> {
    try {
      this.#account = await this.#askAccount(options);
    } catch (error) {
      // Without the permission account_info.read the account's own folder is the root.
      if (!(error instanceof CloudSyncError) || !isMissingScope(error)) throw error;
      this.#isKnown = true;
      return;
    }
    const info = this.#account?.root_info;
    if (!isRootInfo(info)) {
      throw new CloudSyncError('BAD_ANSWER', 'This is no Dropbox', {
        field: 'endpoint',
        advice: 'Check the endpoint; leave it empty for Dropbox itself.',
        retryable: false,
      });
    }
    this.#take(info);
  }

  #take(info: RootInfo): void {
    this.#isKnown = true;
    this.#namespace = info.root_namespace_id === info.home_namespace_id ? undefined : info.root_namespace_id;
    if (this.#account !== undefined) this.#account.root_info = info;
  }
}

/** They go into headers, so they are looked at. */
function isRootInfo(info: RootInfo | undefined): info is RootInfo {
  const { root_namespace_id: root, home_namespace_id: home, home_path: path = '' } = info ?? {};
  return /^[\w:-]+$/.test(String(root)) && typeof home === 'string' && typeof path === 'string';
}

function isMissingScope(error: CloudSyncError): boolean {
  return error.cause instanceof DropboxAnswerError && error.cause.tags.startsWith('missing_scope');
}
