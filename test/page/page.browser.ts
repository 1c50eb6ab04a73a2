/** The page in a real Chromium: it draws, drops and finishes, fails open, and can be used by everyone. `npm run test:page` */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import type { Page } from 'playwright-core';

import {
  countCards,
  modelsWithPlans,
  openPage,
  startBrowser,
  startPageService,
  untilDone,
  untilFinished,
  WITHOUT_CHROMIUM,
} from './browser.js';

const skip = WITHOUT_CHROMIUM;
const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 360, height: 740 };
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The violations of the page as it is, as one line each. */
async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const result = (await page.evaluate('axe.run()')) as {
    violations: { id: string; nodes: { html: string }[] }[];
    passes: unknown[];
  };
  assert.ok(result.passes.length > 10, 'axe looked at the page');
  return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

test(
  'a group is drawn, the service drops, the kept are finished, and everyone can use it',
  { skip },
  async (t) => {
    const { origin } = await startPageService(t, await modelsWithPlans(t));
    const browser = await startBrowser(t);
    const { page, trouble } = await openPage(browser, origin, { viewport: WIDE });
    assert.equal(await page.evaluate('crossOriginIsolated'), true, 'WebAssembly has threads');
    await page.locator('.card').nth(7).waitFor();
    await untilFinished(page);

    await t.test('what the plan drops stops, and the rest is finished', async () => {
      assert.deepEqual(
        await Promise.all(['best', 'kept', 'dropped'].map((fate) => countCards(page, fate))),
        [1, 0, 7],
      );
      assert.equal(await page.getByText('dropped at step 1', { exact: true }).count(), 5);
      assert.equal(await page.getByText('dropped at step 3', { exact: true }).count(), 2);
      assert.match(
        await page.locator('.account').innerText(),
        /^36 of 200 denoiser calls spent, 82% saved\./m,
      );
    });

    await t.test('the account compares with a random seed, best-of-k and all eight', async () => {
      await untilDone(page);
      const lines = await page.locator('.bars li').allInnerTexts();
      assert.equal(lines.length, 4);
      const qualities = lines.map((line) => Number(/\b0\.\d\d\b/.exec(line)?.[0]));
      const [ours = NaN, bestOfK = NaN, random = NaN, bestOfAll = NaN] = qualities;
      assert.ok(ours <= bestOfAll && random <= bestOfK && bestOfK <= bestOfAll, lines.join('\n'));
    });

    await t.test('a switch shows what the dropped ones would have become', async () => {
      await page.getByRole('switch').check();
      assert.equal(await page.getByText('if kept', { exact: true }).count(), 7);
      const figures = await page.locator('.card .figure:last-child').allInnerTexts();
      assert.ok(
        figures.every((text) => /0\.\d\d/.test(text)),
        figures.join(),
      );
      await page.getByRole('switch').uncheck();
    });

    await t.test('a word shows its attention on every image', async () => {
      await page.getByRole('group', { name: 'Attention to a word' }).getByRole('button').nth(1).click();
      assert.equal(await page.locator('.card canvas').count(), 16);
      await page.keyboard.press('Space');
      assert.equal(await page.locator('.card canvas').count(), 8);
    });

    await t.test('the last request and its answer are shown, and can be saved', async () => {
      const requests = page.locator('.requests');
      assert.match(await requests.locator('pre').innerText(), /"outcome": "scored"/);
      await requests.getByRole('button', { name: 'step 1' }).click();
      assert.match(await requests.innerText(), /8 images were asked about at step 1/);
      for (const [name, text] of [
        ['curl', `${origin}/score`],
        ['Python', 'ProbeClient('],
        ['TypeScript', "from '@diffusion-probe/client'"],
      ] as const) {
        await requests.getByRole('button', { name }).click();
        assert.ok((await requests.locator('pre').innerText()).includes(text), name);
      }
      const saving = page.waitForEvent('download');
      await requests.getByRole('link').click();
      const file = await readFile(await (await saving).path());
      const headers = { 'content-type': 'application/octet-stream' };
      const answer = await fetch(`${origin}/score`, { method: 'POST', headers, body: file });
      assert.equal(((await answer.json()) as { results: unknown[] }).results.length, 8);
    });

    for (const colorScheme of ['light', 'dark'] as const)
      for (const [size, viewport] of [
        ['wide', WIDE],
        ['phone', PHONE],
      ] as const)
        await t.test(`axe finds nothing: ${colorScheme}, ${size}`, async () => {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          await page.setViewportSize(viewport);
          assert.deepEqual(await violationsOf(page), []);
          assert.ok(
            Number(await page.evaluate('document.documentElement.scrollWidth')) <= viewport.width,
            'the page is not wider than the screen',
          );
          await page.locator('.open').first().click();
          await page.getByRole('dialog').waitFor();
          assert.deepEqual(await violationsOf(page), []);
          await page.keyboard.press('Escape');
          await page.getByRole('dialog').waitFor({ state: 'detached' });
        });

    await t.test('a caption that cannot be drawn says why, and the next one is drawn', async () => {
      await page.getByLabel('Caption').fill('a kat on a blue background');
      await page.getByRole('button', { name: 'Draw' }).click();
      assert.match(await page.getByRole('alert').innerText(), /kat/);
      await page.getByLabel('Caption').fill('a cat on a blue background');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').waitFor({ state: 'detached' });
      await page.locator('.words-bar button').nth(5).waitFor();
    });

    await t.test('a new seed or budget ends the drawing before', async () => {
      await page.getByRole('slider').press('ArrowLeft');
      await page.getByLabel('First seed').fill('40');
      await page.keyboard.press('Tab');
      await page.locator('.card[data-seed="44"]').waitFor();
      assert.equal(await page.locator('.card').count(), 5);
      await untilFinished(page);
      assert.equal(await countCards(page, 'dropped'), 4);
    });

    assert.deepEqual(trouble, { messages: [], foreign: [] });
  },
);

test(
  'the service is killed in the middle: every image is kept and finished, and the page says so',
  { skip },
  async (t) => {
    const { origin, child } = await startPageService(t, await modelsWithPlans(t));
    const { page, trouble } = await openPage(await startBrowser(t), origin, { viewport: WIDE });
    const reward = page.waitForResponse(/reward\.onnx$/);
    await page.getByText('dropped at step 1', { exact: true }).first().waitFor();
    await (await reward).finished();
    child.kill('SIGKILL');
    const status = page.getByRole('status');
    await status.filter({ hasText: /^No scores, so every image is kept/ }).waitFor();
    await page.locator('.card[data-fate="best"]').waitFor();
    assert.equal(await countCards(page, 'dropped'), 5, 'dropped before the service was killed');
    assert.equal(await countCards(page, 'kept'), 2);
    // The browser itself reports the connection that it did not get.
    assert.deepEqual(
      trouble.messages.filter((text) => !text.includes('ERR_CONNECTION')),
      [],
    );
    assert.deepEqual(trouble.foreign, []);
  },
);
