/** A real Chromium on the built page of a real service. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

import type { Plan } from '../../src/probe/plan.js';
import { startService, type ServiceProcess } from '../support/process.js';
import { temporaryFolder } from '../support/temporary-folder.js';

export const PAGE_FOLDER = 'dist/page';
const PLACES = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/google-chrome'];
/** Undefined where there is no Chromium. */
export const CHROMIUM = PLACES.find((file): file is string => file !== undefined && existsSync(file));
/** For the option `skip` of a test. */
export const WITHOUT_CHROMIUM =
  CHROMIUM === undefined && 'no Chromium: apt-get install chromium, or set CHROMIUM to its file';

/** A group on a slow machine with few cores. */
export const PATIENCE_MS = 240_000;

const figure = (value: number) => ({ value, low: value, high: value });

/** A plan that costs little, with made-up expectations. */
function cheapPlan(budget: number, seeds: number, keep: Plan['keep'], calls: number): Plan {
  const quality = 0.5 + budget / 20;
  const expected = {
    quality: figure(quality),
    best_of_k: figure(quality - 0.05),
    gain: figure(0.05),
    gap_closed: figure(0.6),
    best_of_k_gap_closed: figure(0.4),
  };
  return { budget, seeds, keep, calls, pick: 1, final: 'metric', expected };
}

/** The shipped probe with two plans, the dearer of which is drawn first: 8 images, 3 after step 1, 1 after step 3. */
export async function modelsWithPlans(t: TestContext): Promise<string> {
  const models = await temporaryFolder(t);
  const folder = path.join(models, 'pictogram', '2');
  await cp('models/pictogram/2', folder, { recursive: true });
  const file = path.join(folder, 'probe.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as { plans: Plan[] };
  manifest.plans = [cheapPlan(1.16, 5, { 1: 1 }, 29), cheapPlan(1.44, 8, { 1: 3, 3: 1 }, 36)];
  await writeFile(file, JSON.stringify(manifest));
  return models;
}

/** A service that serves the page; its probes are the shipped ones when omitted. */
export async function startPageService(t: TestContext, modelsDir = 'models'): Promise<ServiceProcess> {
  assert.ok(existsSync(path.join(PAGE_FOLDER, 'index.html')), 'the page is not built: npm run build:page');
  return startService(t, { STATIC_DIR: PAGE_FOLDER, MODELS_DIR: modelsDir });
}

export async function startBrowser(t: TestContext): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM ?? assert.fail(),
    // A container has no sandbox to give to a root user.
    args: ['--no-sandbox', '--disable-gpu'],
  });
  t.after(() => browser.close());
  return browser;
}

/** What a page must not do. */
export interface Trouble {
  /** Errors and warnings on the console, and exceptions that nothing caught. */
  readonly messages: string[];
  /** Requests to other origins. */
  readonly foreign: string[];
}

export async function openPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; trouble: Trouble }> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const trouble: Trouble = { messages: [], foreign: [] };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) trouble.messages.push(message.text());
  });
  page.on('pageerror', ({ message }) => trouble.messages.push(message));
  context.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`)) trouble.foreign.push(url);
  });
  await page.goto(`${origin}/`);
  return { page, trouble };
}

/** Waits until the plan is finished. */
export function untilFinished(page: Page): Promise<void> {
  return page
    .getByRole('status')
    .filter({ hasText: /^Finished/ })
    .waitFor();
}

/** Waits until the dropped images are finished too. */
export function untilDone(page: Page): Promise<void> {
  return page
    .getByRole('status')
    .filter({ hasText: /^Finished$/ })
    .waitFor();
}

/** How many cards are in a state, such as `dropped`. */
export function countCards(page: Page, fate: string): Promise<number> {
  return page.locator(`.card[data-fate="${fate}"]`).count();
}
