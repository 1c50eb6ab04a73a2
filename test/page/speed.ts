/** How long a visitor waits, on an idle machine with two cores: `npm run bench:page`. RUNS is how often the page is opened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openPage, startBrowser, startPageService, untilFinished, WITHOUT_CHROMIUM } from './browser.js';

const RUNS = Number(process.env['RUNS'] ?? 5);
const MOST_SECONDS = { candidate: 1.5, group: 20 };

interface Times {
  /** From the start of the navigation until the first candidate can be seen, as noise. */
  readonly candidate: number;
  /** Until the first preview of a step. */
  readonly preview: number;
  /** Until the plan of eight candidates is finished. */
  readonly group: number;
}

test(
  'a visitor sees the first candidate and a finished group in time',
  { skip: WITHOUT_CHROMIUM },
  async (t) => {
    const { origin } = await startPageService(t);
    const browser = await startBrowser(t);
    const runs: Times[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const startedAt = performance.now();
      const seconds = (): number => (performance.now() - startedAt) / 1000;
      const { page } = await openPage(browser, origin);
      await page.locator('.card').first().waitFor();
      const candidate = seconds();
      // The caption of the columns says "step 1" too.
      await page.locator('.fate', { hasText: 'step 1' }).first().waitFor();
      const preview = seconds();
      await untilFinished(page);
      runs.push({ candidate, preview, group: seconds() });
      await page.context().close();
    }
    const sorted = (name: keyof Times): number[] =>
      runs.map((run) => run[name]).toSorted((left, right) => left - right);
    const median = (name: keyof Times): number => sorted(name)[Math.floor(RUNS / 2)] ?? NaN;
    for (const name of ['candidate', 'preview', 'group'] as const) {
      const figures = [sorted(name)[0] ?? NaN, median(name), sorted(name).at(-1) ?? NaN];
      t.diagnostic(
        `${name}: ${figures.map((value) => value.toFixed(2)).join(' / ')} s (best, median, worst)`,
      );
    }
    assert.ok(median('candidate') <= MOST_SECONDS.candidate, 'the first candidate');
    assert.ok(median('group') <= MOST_SECONDS.group, 'a group with its plan finished');
  },
);
