/** What the pages of all nodes share in the browser. Loaded by each page, set up once. */

import { credential, credentialLabel } from './credential-form.js';
import { followerLabel, verify } from './follower-forms.js';
import { restore } from './restore-form.js';
import { sidebar } from './sidebar.js';
import { task, taskLabel } from './task-form.js';
import { t } from './text.js';
import { validateCredential, validateRestore, validateTask, validateVerify } from './validation.js';

function outputLabel(kind: 'sync' | 'restore' | 'verify', index: number): string {
  return t(
    ['output.success', 'output.failure', 'output.progress'][index]!.concat(kind === 'verify' ? 'Verify' : ''),
  );
}

if (window.CloudSync === undefined) {
  const style = document.createElement('link');
  style.rel = 'stylesheet';
  style.href = 'resources/@cloud-sync/node-red-cloud-sync/editor.css';
  document.head.append(style);
  window.CloudSync = {
    credential,
    task,
    restore,
    verify,
    sidebar,
    credentialLabel,
    taskLabel,
    followerLabel,
    outputLabel,
    validateCredential,
    validateTask,
    validateRestore,
    validateVerify,
  };
}
