/** Takes the pictures of docs/page: wide, dark, one candidate, on a phone, and with the service killed. `npm run docs:page` */
import { mkdir } from 'node:fs/promises';
import { test } from 'node:test';

import { openPage, startBrowser, startPageService, untilDone, WITHOUT_CHROMIUM } from './browser.js';

const FOLDER = 'docs/page';
const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 360, height: 740 };

test('take the pictures of the page', { skip: WITHOUT_CHROMIUM }, async (t) => {
  await mkdir(FOLDER, { recursive: true });
  const { origin, child } = await startPageService(t);
  const browser = await startBrowser(t);
  const take = { viewport: WIDE, reducedMotion: 'reduce' } as const;
  const { page } = await openPage(browser, origin, take);
  await untilDone(page);
  await page.screenshot({ path: `${FOLDER}/wide.png` });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.getByRole('group', { name: 'Attention to a word' }).getByRole('button').nth(1).click();
  await page.getByRole('switch').check();
  await page.screenshot({ path: `${FOLDER}/dark.png` });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.locator('.card[data-fate="best"] .open').click();
  await page.screenshot({ path: `${FOLDER}/candidate.png` });
  await page.keyboard.press('Escape');
  await page.getByRole('switch').uncheck();
  await page.getByRole('group', { name: 'Attention to a word' }).getByRole('button').nth(1).click();
  await page.setViewportSize(PHONE);
  await page.screenshot({ path: `${FOLDER}/phone.png`, fullPage: true });
  await page.setViewportSize(WIDE);
  await page.getByRole('button', { name: 'Draw' }).click();
  await page.locator('.card[data-fate="drawing"]').nth(7).waitFor();
  child.kill('SIGKILL');
  await page.locator('.card[data-fate="best"]').waitFor();
  await page.screenshot({ path: `${FOLDER}/service-killed.png` });
});
