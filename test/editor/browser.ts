/** The browser that comes with `npm install`, or one that is installed. */

import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

const INSTALLED = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

async function executable(): Promise<string> {
  // The one in the package is x64 only.
  const installed = INSTALLED.find((path) => existsSync(path));
  if (installed !== undefined && process.arch !== 'x64') return installed;
  const { default: packaged } = await import('@sparticuz/chromium');
  return await packaged.executablePath();
}

export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: await executable(),
    args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'],
  });
}

/** The flows are there, and the veil that hides the editor while it loads is gone. */
export const LOADED = `(() => {
  const veil = document.querySelector('#red-ui-loading-progress');
  return window.RED?.nodes?.version?.() && veil && getComputedStyle(veil).display === 'none';
})()`;

/** Opens the editor and waits until it shows its flows. */
export async function openEditor(
  browser: Browser,
  url: string,
  view: {
    width?: number;
    height?: number;
    colorScheme?: 'light' | 'dark';
    locale?: string;
    timezoneId?: string;
  } = {},
): Promise<Page> {
  const { width = 1280, height = 900, colorScheme = 'light', locale = 'en-US', timezoneId } = view;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale, timezoneId });
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction(LOADED);
  // Node-RED has a setting for it; its own switch is this class.
  if (colorScheme === 'dark') await page.evaluate("document.documentElement.classList.add('nr-theme-dark')");
  return page;
}
