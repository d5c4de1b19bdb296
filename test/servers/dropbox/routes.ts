/** The routes: where each is, how it takes its arguments, which scope it needs. Source: dropbox-api-spec, `attrs`. */

import type { Check } from './arguments.js';
import * as changing from './changing.js';
import * as content from './content.js';
import type { Call, Reply, ServerState } from './context.js';
import { CONTINUE, LIST_FOLDER, LIST_REVISIONS, Listings, listRevisions } from './listing.js';

export interface Route {
  style: 'rpc' | 'upload' | 'download';
  scope: string;
  /** Undefined: it takes none. */
  check: Check<unknown> | undefined;
  handle(call: Call, argument: never): Reply | Promise<Reply>;
}

function route<T>(
  style: Route['style'],
  scope: string,
  check: Check<T>,
  handle: (call: Call, argument: T) => Reply | Promise<Reply>,
): Route {
  return { style, scope, check, handle: handle as Route['handle'] };
}

/** What the routes keep between calls. */
export interface Rooms {
  listings: Listings;
  uploads: content.Uploads;
  deleteJobs: changing.DeleteJobs;
}

export function makeRooms(state: ServerState): Rooms {
  return {
    listings: new Listings(state),
    uploads: new content.Uploads(state),
    deleteJobs: new changing.DeleteJobs(state),
  };
}

export function routesOf(
  state: ServerState,
  { listings, uploads, deleteJobs }: Rooms,
  account: (call: Call) => Reply,
): Record<string, Route> {
  const read = 'files.metadata.read';
  const write = 'files.content.write';
  return {
    'users/get_current_account': {
      style: 'rpc',
      scope: 'account_info.read',
      check: undefined,
      handle: account,
    },
    'files/get_metadata': route('rpc', read, changing.GET_METADATA, changing.getMetadata),
    'files/list_folder': route('rpc', read, LIST_FOLDER, (call, given) => listings.start(call, given)),
    'files/list_folder/continue': route('rpc', read, CONTINUE, (_call, given) => listings.continue(given)),
    'files/list_revisions': route('rpc', read, LIST_REVISIONS, listRevisions),
    'files/delete_v2': route('rpc', write, changing.DELETE, (call, given) =>
      changing.deleteFile(state, call, given),
    ),
    'files/delete_batch': route('rpc', write, changing.DELETE_BATCH, (call, given) =>
      deleteJobs.start(call, given),
    ),
    'files/delete_batch/check': route('rpc', write, changing.POLL, (_call, given) => deleteJobs.check(given)),
    'files/copy_v2': route('rpc', write, changing.RELOCATION, (call, given) =>
      changing.relocate(state, call, given, false),
    ),
    'files/move_v2': route('rpc', write, changing.RELOCATION, (call, given) =>
      changing.relocate(state, call, given, true),
    ),
    'files/create_folder_v2': route('rpc', write, changing.CREATE_FOLDER, (call, given) =>
      changing.createFolder(state, call, given),
    ),
    'files/restore': route('rpc', write, changing.RESTORE, (call, given) =>
      changing.restore(state, call, given),
    ),
    'files/upload': route('upload', write, content.UPLOAD, (call, given) => uploads.upload(call, given)),
    'files/upload_session/start': route('upload', write, content.START, (call, given) =>
      uploads.start(call, given),
    ),
    'files/upload_session/append_v2': route('upload', write, content.APPEND, (call, given) =>
      uploads.append(call, given),
    ),
    'files/upload_session/finish': route('upload', write, content.FINISH, (call, given) =>
      uploads.finish(call, given),
    ),
    'files/upload_session/finish_batch_v2': route('rpc', write, content.FINISH_BATCH, (call, given) =>
      uploads.finishBatch(call, given),
    ),
    'files/download': route('download', 'files.content.read', content.DOWNLOAD, content.download),
  };
}
