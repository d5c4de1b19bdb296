/**
 * Writes the pictures of the documentation, `docs/images/*.png` and `docs/gallery/*.png`: a real Node-RED with this package,
 * an S3-compatible server on this machine and the editor in a real browser, which is driven as a user drives it.
 *
 * `npm run screenshots -- dialog` makes only those whose names hold that word; those of the gallery are called
 * `gallery <name>`. `SCREENSHOTS=folder` writes elsewhere.
 */

import { startBrowser } from '../test/editor/browser.js';
import { Camera, showSidebar } from './screenshots/camera.js';
import { dialogGallery, dialogPictures } from './screenshots/dialogs.js';
import { emptySidebar, historyPictures, statePictures } from './screenshots/sidebars.js';
import { Stage } from './screenshots/stage.js';

/** The example flow after its run. Without the palette, which says nothing about it. */
async function flowPictures(camera: Camera): Promise<void> {
  for (const name of ['flow', 'first-backup-verified']) {
    await camera.take(name, { width: 1600, height: 460 }, async (page) => {
      await showSidebar(page);
      await page.locator('.cloud-sync-card .cloud-sync-status-success').nth(2).waitFor();
      return { x: 212, y: 40, width: 1388, height: 420 };
    });
  }
  await camera.takeAll('editor', 800, showSidebar);
}

async function main(): Promise<void> {
  const stage = await Stage.build();
  const browser = await startBrowser();
  try {
    const camera = new Camera(browser, stage.nodeRed.url, process.argv[2] ?? '');
    await emptySidebar(camera);
    await stage.nodeRed.deploy(stage.example());
    await stage.start('cs-demo-sync');
    await stage.until({
      'cs-demo-sync': 'success',
      'cs-demo-verify': 'success',
      'cs-demo-restore': 'success',
    });
    await flowPictures(camera);
    await dialogPictures(camera);
    await dialogGallery(camera, stage);
    await historyPictures(camera);
    await statePictures(camera, stage);
  } finally {
    await browser.close();
    await stage.close();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
