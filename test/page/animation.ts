/** Takes docs/page/working.webp, an animation of the page at work: a frame for each step. `npm run docs:page` */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { Page } from 'playwright-core';
import sharp from 'sharp';

import { countCards, openPage, startBrowser, startPageService, WITHOUT_CHROMIUM } from './browser.js';

const FILE = 'docs/page/working.webp';
const MOST_BYTES = 1_500_000;
const QUALITIES = [90, 80, 70];
/** One column, whose first screen ends below the account. */
const VIEWPORT = { width: 840, height: 1000 };
const PIXEL_RATIO = 1.5;
const MARGIN = 16;
const POLL_MS = 20;
/** How long a frame is seen. */
const STEP_MS = 180;
const DROP_MS = 1200;
const DONE_MS = 2500;
const LAST_MS = 4000;

interface Frame {
  readonly image: Buffer;
  readonly ms: number;
}

/** What a frame shows. */
interface Shown {
  readonly step: string | null;
  readonly dropped: number;
  readonly status: string;
}

test('take the animation of the page', { skip: WITHOUT_CHROMIUM }, async (t) => {
  await mkdir(path.dirname(FILE), { recursive: true });
  const { origin } = await startPageService(t);
  const browser = await startBrowser(t);
  const { page } = await openPage(browser, origin, {
    viewport: VIEWPORT,
    deviceScaleFactor: PIXEL_RATIO,
    reducedMotion: 'reduce',
  });
  await page.locator('.card').first().waitFor();
  const frames = await framesUntilDone(page);
  assert.ok(frames.length >= 10, `${frames.length} frames: the machine is too slow to see the steps`);
  await page.getByRole('switch').check();
  frames.push({ image: await page.screenshot(), ms: LAST_MS });
  const account = await page.locator('.account').boundingBox();
  const height = Math.round(PIXEL_RATIO * (account!.y + account!.height + MARGIN));
  await writeFile(FILE, await encode(frames, height));
});

/** A frame whenever a step has ended, something was dropped, or all is finished. */
async function framesUntilDone(page: Page): Promise<Frame[]> {
  const frames: Frame[] = [];
  let before = await look(page);
  for (;;) {
    const shown = await look(page);
    const isDone = shown.status === 'Finished';
    if (JSON.stringify(shown) !== JSON.stringify(before)) {
      const ms = isDone ? DONE_MS : shown.dropped > before.dropped ? DROP_MS : STEP_MS;
      frames.push({ image: await page.screenshot(), ms });
    }
    if (isDone) return frames;
    before = shown;
    await delay(POLL_MS);
  }
}

async function look(page: Page): Promise<Shown> {
  return {
    step: await page.locator('.funnel .columns').getAttribute('aria-label'),
    dropped: await countCards(page, 'dropped'),
    status: await page.getByRole('status').innerText(),
  };
}

/** In the best quality whose file is small enough. With a lower one, traces of earlier frames remain. */
async function encode(frames: readonly Frame[], height: number): Promise<Buffer> {
  const area = { left: 0, top: 0, width: VIEWPORT.width * PIXEL_RATIO, height };
  const images = await Promise.all(frames.map(({ image }) => sharp(image).extract(area).png().toBuffer()));
  const delays = frames.map(({ ms }) => ms);
  for (const quality of QUALITIES) {
    const animation = sharp(images, { join: { animated: true } });
    const file = await animation.webp({ quality, effort: 6, loop: 0, delay: delays }).toBuffer();
    if (file.length <= MOST_BYTES) return file;
  }
  return assert.fail(`${frames.length} frames do not fit into ${MOST_BYTES} bytes`);
}
