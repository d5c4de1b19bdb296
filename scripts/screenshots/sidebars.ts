/** Pictures of the sidebar in each of its states. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { type Camera, showHighSidebar, showSidebar, wholeSidebar } from './camera.js';
import type { Stage } from './stage.js';

const SLOW = { bandwidthLimit: [{ time: '00:00', bandwidth: 30_000 }] };

async function openLog(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'History and log' }).first().click();
  await page.locator('.cloud-sync-run').first().click();
  await page.locator('.cloud-sync-log-line').first().waitFor();
}

export async function emptySidebar(camera: Camera): Promise<void> {
  await camera.takeAll('sidebar-empty', 700, showHighSidebar);
}

/** On the example flow, which has run. */
export async function historyPictures(camera: Camera): Promise<void> {
  await camera.take('sidebar-history', { height: 900 }, async (page) => {
    await showSidebar(page);
    await openLog(page);
    return await wholeSidebar(page);
  });
  await camera.takeAll('sidebar-history', 900, async (page) => {
    await showHighSidebar(page);
    await openLog(page);
  });
}

/** A task in each state, all at the same time. */
export async function statePictures(camera: Camera, stage: Stage): Promise<void> {
  const { nodeRed, photos } = stage;
  const flows = stage.tasks(
    { id: 'never', name: 'Never ran', folder: 'never', schedule: '0 3 * * *' },
    { id: 'off', name: 'Switched off', folder: 'off', schedule: '0 * * * *', enabled: false },
    { id: 'success', name: 'Succeeded', folder: 'success', schedule: '30 2 * * 0' },
    { id: 'stale', name: 'Stale', folder: 'stale', staleAfter: 0.01 },
    { id: 'running', name: 'Running', folder: 'slow', schedule: '0 3 * * *', ...SLOW },
    { id: 'queued', name: 'Queued', folder: 'slow', ...SLOW },
    { id: 'failed', name: 'Failed', bucket: 'not-there' },
    { id: 'aborted', name: 'Aborted', folder: 'aborted', ...SLOW },
    { id: 'deletes', name: 'Would delete', folder: 'deletes', transferMode: 'sync' },
  );
  await nodeRed.deploy(flows);
  for (const id of ['success', 'stale', 'failed', 'aborted', 'deletes']) await stage.start(id);
  await stage.until({
    success: 'success',
    stale: 'success',
    failed: 'failed',
    deletes: 'success',
    aborted: 'running',
  });
  await stage.start('aborted', 'abort');
  await stage.start('success', 'verify', { method: 'checksum' });
  const pruned = flows.map((node) =>
    node.id === 'deletes' ? { ...node, path: `${photos}/documents` } : node,
  );
  await nodeRed.deploy(pruned);
  await stage.start('deletes');
  await stage.start('running');
  await stage.until({ running: 'running' });
  await stage.start('queued');
  await stage.until({ deletes: 'failed', aborted: 'aborted', queued: 'queued' });
  // 0.01 hours, and the watch looks now and then.
  await delay(40_000);
  const running = (page: Page) => page.locator('.cloud-sync-card').filter({ hasText: 'Transferring' });
  await camera.takeAll('sidebar-states', 1800, async (page) => {
    await showHighSidebar(page);
    await running(page).waitFor();
    await page.locator('.cloud-sync-pending > summary').click();
    await page.locator('[data-action="allow"]').click();
  });
  await camera.takeAll('sidebar-live-log', 1500, async (page) => {
    await showHighSidebar(page);
    const card = running(page);
    await card.getByRole('button', { name: 'History and log' }).click();
    await card.locator('.cloud-sync-run').first().click();
    await card.locator('.cloud-sync-log-line').first().waitFor();
    await card.scrollIntoViewIfNeeded();
  });
}
