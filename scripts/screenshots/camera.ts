/** Takes pictures of the editor as a user has brought it into a state. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { openEditor } from '../../test/editor/browser.js';
import { smallPng } from './small-png.js';

/** What the README and the documentation show; goes to npm. */
const IMAGES = process.env.SCREENSHOTS ?? join('docs', 'images');
/** Whole pages of every dialog and state, at two widths, light and dark; stays in the repository. */
const GALLERY = process.env.SCREENSHOTS ?? join('docs', 'gallery');
const WIDTHS = [1280, 1920];

export interface View {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
}

/** What is pictured: a selector or a part of the page; undefined: all of it. */
export type Part = string | { x: number; y: number; width: number; height: number } | undefined;

/** Brings the page into a state and says what is to be pictured. */
export type Act = (page: Page) => Promise<Part>;

export class Camera {
  /** Only pictures whose names hold `wanted` are taken. */
  constructor(
    private readonly browser: Browser,
    private readonly url: string,
    private readonly wanted: string,
  ) {}

  /** A picture for the documentation. */
  async take(name: string, view: View, act: Act): Promise<void> {
    await this.picture(join(IMAGES, `${name}.png`), name, view, act);
  }

  /** In light and dark, the second one called `<name>-dark`. */
  async takeBoth(name: string, view: View, act: Act): Promise<void> {
    await this.take(name, view, act);
    await this.take(`${name}-dark`, { ...view, colorScheme: 'dark' }, act);
  }

  /** The whole page at each width, in light and dark. */
  async takeAll(name: string, height: number, act: (page: Page) => Promise<unknown>): Promise<void> {
    for (const width of WIDTHS) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const full = `${name}-${width}${colorScheme === 'dark' ? '-dark' : ''}`;
        await this.picture(
          join(GALLERY, `${full}.png`),
          `gallery ${full}`,
          { width, height, colorScheme },
          async (page) => {
            await act(page);
            return undefined;
          },
        );
      }
    }
  }

  private async picture(file: string, name: string, view: View, act: Act): Promise<void> {
    if (!name.includes(this.wanted)) return;
    const page = await openEditor(this.browser, this.url, view);
    page.setDefaultTimeout(20_000);
    try {
      const part = await act(page);
      await settle(page);
      const options = { animations: 'disabled' } as const;
      const taken =
        typeof part === 'string'
          ? await page.locator(part).first().screenshot(options)
          : await page.screenshot({ ...options, clip: part });
      const png = smallPng(taken);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, png);
      console.log(`${file} ${Math.round(png.length / 1024)} KiB`);
    } finally {
      await page.context().close();
    }
  }
}

/** Nothing slides or fades any more. */
async function settle(page: Page): Promise<void> {
  await page.mouse.move(0, 0);
  await page.waitForFunction("document.getAnimations().every((one) => one.playState !== 'running')");
}

export async function showSidebar(page: Page): Promise<void> {
  await page.evaluate("RED.sidebar.show('cloud-sync')");
  await page.locator('.cloud-sync-sidebar').waitFor();
}

/** With the whole height of the page, without the debug messages below. */
export async function showHighSidebar(page: Page): Promise<void> {
  await showSidebar(page);
  const debug = page.locator('button[data-tab-id="debug"].selected');
  // The editor remembers what was closed.
  if ((await debug.count()) > 0) await debug.click();
}

/** The sidebar alone, 300 px wide and as high as what stands in it. */
export async function wholeSidebar(page: Page): Promise<string> {
  await page.evaluate(`(() => {
    const sidebar = document.querySelector('.cloud-sync-sidebar');
    document.body.append(sidebar);
    Object.assign(sidebar.style, { position: 'fixed', zIndex: 9999, top: 0, left: 0, width: '300px', height: 'auto' });
  })()`);
  return '.cloud-sync-sidebar';
}
