/** `npm run choose:presets`, then `npm run docs:hero`, with the real reference world, a real service and a plan that costs little. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Presets } from '../../demo/presets.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { readPng } from '../support/png.js';
import { shippedProbe } from '../support/shipped-probe.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const figure = { value: 0.5, low: 0.4, high: 0.6 };
const EXPECTED = {
  quality: figure,
  best_of_k: figure,
  gain: figure,
  gap_closed: figure,
  best_of_k_gap_closed: figure,
};
const CAPTIONS = 4;

test('presets are chosen among test captions, and the picture is of the median one', async (t) => {
  const folder = await temporaryFolder(t);
  const models = path.join(folder, 'models');
  const probe = shippedProbe('pictogram');
  const copy = path.join(models, ...probe.reference.split('@'));
  await cp(probe.folder, copy, { recursive: true });
  await mkdir(path.join(folder, 'demo', 'page'), { recursive: true });
  const usePlan = async (keep: Manifest['plans'][number]['keep'], calls: number): Promise<void> => {
    const manifest = JSON.parse(await readFile(path.join(copy, 'probe.json'), 'utf8')) as Manifest;
    const plan = { budget: 3, seeds: 2, keep, calls, pick: 1, final: 'metric', expected: EXPECTED };
    await writeFile(path.join(copy, 'probe.json'), JSON.stringify({ ...manifest, plans: [plan] }));
  };
  const options = [
    '--models',
    models,
    '--reference',
    path.resolve('reference'),
    '--url',
    'http://127.0.0.1:9',
  ];
  const execute = (module: string, ...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      [fileURLToPath(new URL(`../../demo/${module}`, import.meta.url)), ...options, ...args],
      { cwd: folder, env: { ...process.env, MODELS_DIR: models } },
    );

  await usePlan({ 1: 1 }, 26);
  await execute('choose-presets.js', '--captions', String(CAPTIONS));
  const text = await readFile(path.join(folder, 'demo', 'page', 'presets.json'), 'utf8');
  const { presets, probe: reference, plan } = JSON.parse(text) as Presets;
  assert.deepEqual([reference, plan], [probe.reference, 'start 2, keep 1 after step 1, finish 1']);
  assert.deepEqual(
    presets.map(({ name }) => name),
    ['A clear win', 'The median', 'A hard one', 'A failure'],
  );
  assert.equal(new Set(presets.map(({ caption }) => caption)).size, CAPTIONS);

  const { stdout } = await execute('draw-hero.js', '--out', 'hero.png');
  assert.equal(stdout, 'hero.png is written\n');
  const { width, height } = await readPng(await readFile(path.join(folder, 'hero.png')));
  assert.ok(width > 800 && height > 500);

  await usePlan({}, 50);
  await assert.rejects(
    execute('draw-hero.js', '--out', 'hero.png'),
    ({ code, stderr }: { code: number; stderr: string }) => {
      assert.equal(code, 1);
      assert.match(
        stderr,
        /is for .* "start 2, keep 1 after step 1, finish 1"; the service has .* "start 2, finish 2"/,
      );
      return true;
    },
  );
});
