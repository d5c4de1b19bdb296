/** Questions to this package's admin routes. jQuery's ajax carries the login of the editor; addresses stay relative. */

import { t } from './text.js';

export interface Problem {
  code: string;
  message: string;
  advice?: string;
  field?: string;
}

/** A credential as the admin routes take it. */
export interface TypedCredential {
  id: string;
  name: string;
  provider: string;
  config: Record<string, unknown>;
  secrets: Record<string, unknown>;
}

/** The problem as one or two sentences. */
export function sentence({ message, advice }: Problem): string {
  const end = /[.!?]$/.test(message) ? message : `${message}.`;
  return advice === undefined ? end : `${end} ${advice}`;
}

function problemOf(request: JQuery.jqXHR): Problem {
  const { responseJSON, status } = request;
  if (typeof responseJSON?.message === 'string') return responseJSON as Problem;
  if (status === 401 || status === 403) return { code: 'NO_PERMISSION', message: t('problem.permission') };
  if (status === 0) return { code: 'CONNECTION_LOST', message: t('problem.noAnswer') };
  return { code: 'INTERNAL', message: t('problem.other', { status }) };
}

function ask<T>(settings: JQuery.AjaxSettings): Promise<T> {
  return new Promise((resolve, reject) => {
    $.ajax({ dataType: 'json', cache: false, ...settings }).then(
      (answer: T) => resolve(answer),
      (request: JQuery.jqXHR) => reject(problemOf(request)),
    );
  });
}

/** Rejects with a {@link Problem}. */
export function get<T>(path: string, query: Record<string, string> = {}): Promise<T> {
  return ask<T>({ url: `cloud-sync/${path}`, data: query });
}

/** Rejects with a {@link Problem}. */
export function post<T>(path: string, body: object = {}): Promise<T> {
  return ask<T>({
    url: `cloud-sync/${path}`,
    method: 'POST',
    contentType: 'application/json',
    data: JSON.stringify(body),
  });
}

/** Whether who is logged in may start and stop runs, browse and test. */
export function mayAct(): boolean {
  return RED.user?.hasPermission?.('cloud-sync.write') !== false;
}

export interface FolderEntry {
  name: string;
  kind: 'file' | 'folder';
  size: number;
  /** ms since the epoch. */
  modifiedAt?: number;
}
export interface FolderPage {
  entries: FolderEntry[];
  next?: string;
}
