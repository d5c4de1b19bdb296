/** Pictures of the edit dialogs and trays, on the example flow. */

import type { Page } from 'playwright-core';
import { type Camera, showSidebar } from './camera.js';
import { CREDENTIAL, type Stage, TASK } from './stage.js';

const DIALOG = '#red-ui-editor-stack .red-ui-tray:last-child';
const SECTIONS = ['schedule', 'filters', 'safety', 'transfer', 'encryption', 'advanced'];

async function edit(page: Page, id: string): Promise<void> {
  await page.evaluate(`RED.editor.edit(RED.nodes.node('${id}'))`);
  await page.locator('#node-dialog-ok').waitFor();
}

async function editTask(page: Page): Promise<string> {
  await edit(page, TASK);
  await page.locator('.cloud-sync-credential-state.cloud-sync-good').waitFor();
  return DIALOG;
}

async function openSection(page: Page, name: string): Promise<string> {
  const section = `details[data-section="${name}"]`;
  await page.locator(`${section} > summary`).click();
  return section;
}

async function editVerifiedCredential(page: Page): Promise<string> {
  await page.evaluate(`RED.editor.editConfig('', 'cloud-credential', '${CREDENTIAL}')`);
  await page.locator('#node-config-dialog-ok').waitFor();
  await page.locator('.cloud-sync-verify button').click();
  await page.locator('.cloud-sync-answer.cloud-sync-good').waitFor();
  return DIALOG;
}

async function openRestore(page: Page): Promise<string> {
  await showSidebar(page);
  await page.locator('[data-action="restore"]').first().click();
  const label = page.locator('.cloud-sync-restore-tree .red-ui-treeList-label');
  await label.filter({ hasText: 'documents' }).locator('.fa-angle-right').click();
  await label.filter({ hasText: 'letter.txt' }).locator('.red-ui-treeList-checkbox').click();
  await page.locator('#cloud-sync-restore-path').fill('/srv/restored');
  return DIALOG;
}

async function preview(page: Page): Promise<string> {
  await editTask(page);
  await openSection(page, 'filters');
  await page.locator('details[data-section="filters"] .red-ui-editableList-addButton').first().click();
  await page.locator('#cloud-sync-exclude input').first().fill('IMG_1*');
  await page.locator('#cloud-sync-scan').click();
  await page.locator('.cloud-sync-scan li').first().waitFor();
  return DIALOG;
}

async function recoverySheet(page: Page): Promise<string> {
  await editTask(page);
  await openSection(page, 'encryption');
  await page.locator('#node-input-encryption').check();
  await page.locator('#cloud-sync-generate').click();
  await page.locator('#cloud-sync-sheet').click();
  await page.locator('.cloud-sync-sheet').waitFor();
  return DIALOG;
}

async function signInToDropbox(page: Page): Promise<string> {
  await page.evaluate(`RED.editor.editConfig('', 'cloud-credential', '${CREDENTIAL}')`);
  await page.locator('#node-config-input-provider').selectOption('dropbox');
  await page.locator('#node-config-input-appKey').fill('a1b2c3d4e5f6g7h');
  await page.evaluate('window.open = () => null');
  await page.locator('#cloud-sync-dropbox').click();
  await page.locator('#cloud-sync-dropbox-code').waitFor();
  return DIALOG;
}

async function browse(page: Page, field: 'path' | 'folder'): Promise<string> {
  await editTask(page);
  await page.locator(`#cloud-sync-browse-${field}`).click();
  const selected = field === 'path' ? '.selected' : '';
  await page.locator(`#cloud-sync-tree-${field} .red-ui-treeList-label${selected}`).first().waitFor();
  return DIALOG;
}

/** Every section open, with what shows when it is used. */
async function everySection(page: Page): Promise<string> {
  await editTask(page);
  for (const section of SECTIONS) await openSection(page, section);
  await page.locator('#cloud-sync-preset').selectOption('daily');
  await page.locator('#node-input-backupFolder').fill('replaced');
  await page.locator('#node-input-backupFolder').blur();
  await page.locator('#node-input-encryption').check();
  await page.locator('#node-input-name').focus();
  return DIALOG;
}

/** What the documentation shows. */
export async function dialogPictures(camera: Camera): Promise<void> {
  await camera.take('dialog-credential', { height: 1120 }, editVerifiedCredential);
  await camera.take('dialog-task', { height: 860 }, editTask);
  await camera.take('first-backup-folder', { height: 900 }, (page) => browse(page, 'path'));
  await camera.take('restore', { height: 900 }, openRestore);
  await camera.take('dialog-credential-dropbox', { height: 900 }, signInToDropbox);
}

export async function dialogGallery(camera: Camera, { nodeRed }: Stage): Promise<void> {
  const nodes = await nodeRed.flows();
  const idOf = (type: string) => nodes.find((node) => node.type === type)!.id;
  await camera.takeAll('dialog-credential', 1120, editVerifiedCredential);
  await camera.takeAll('dialog-credential-dropbox', 900, signInToDropbox);
  await camera.takeAll('dialog-task', 900, editTask);
  await camera.takeAll('dialog-task-sections', 3000, everySection);
  await camera.takeAll('dialog-task-folders', 900, (page) => browse(page, 'folder'));
  await camera.takeAll('dialog-task-preview', 1000, preview);
  await camera.takeAll('dialog-restore', 900, async (page) => {
    await edit(page, idOf('cloud-restore'));
    for (const section of ['filters', 'archive', 'advanced']) await openSection(page, section);
    await page.locator('#node-input-thaw').check();
  });
  await camera.takeAll('dialog-verify', 900, (page) => edit(page, idOf('cloud-verify')));
  await camera.takeAll('restore-tray', 900, openRestore);
  await camera.takeAll('recovery-sheet', 900, recoverySheet);
}
