/** The first picture of the README: the grid of a group with its account, and beside it the curve. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DrawnGroup } from '../../../demo/drawing/draw-group.js';
import type { QualityCurve } from '../../../demo/pictures/curve.js';
import { drawHero } from '../../../demo/pictures/hero.js';
import { COLOURS } from '../../../demo/pictures/style.js';
import { readPng } from '../../support/png.js';

const SIDE = 4;
const SEEDS = 4;
const GRID = { left: 36, right: 36 + SEEDS * 138 - 10 };
const IMAGE = new Float32Array(3 * SIDE * SIDE);
const CURVE: QualityCurve = {
  captions: 3,
  plans: [
    [30, 0.6],
    [50, 0.8],
  ],
  bestOfK: [
    [25, 0.5],
    [50, 0.6],
    [75, 0.7],
    [100, 0.72],
  ],
  random: 0.5,
};

function group(): DrawnGroup {
  const samples = Array.from({ length: SEEDS }, (_, seed) => ({
    seed,
    answers: [{ step: 5, preview: IMAGE, result: undefined }],
    droppedAt: seed === 0 ? null : 5,
    image: IMAGE,
    quality: seed / 10,
  }));
  const stage = { step: 5, alive: SEEDS, kept: 1, outcome: 'scored', calls: 20, seconds: 1 } as const;
  return { samples, stages: [stage], calls: 40, seconds: 2 };
}

function draw(caption: string, curve = CURVE) {
  return readPng(drawHero(caption, group(), curve, { totalSteps: 25, side: SIDE }));
}

test('a long caption ends where the grid ends', async () => {
  const { has } = await draw('three mushrooms left of a guitar and a banana on a yellow background');
  assert.ok(has(COLOURS.ink, GRID.right - 60, 40, 60, 40), 'it is as wide as the grid');
  assert.ok(!has(COLOURS.ink, GRID.right + 1, 36, 48, 120), 'and not wider');
});

test('the curve of plans is on the right, and where there are none only that of best-of-k', async () => {
  const { width, height, has } = await draw('a cat');
  const left = GRID.right + 40;
  assert.ok(has(COLOURS.kept, left, 0, width - left, height));
  const without = await draw('a cat', { ...CURVE, plans: [] });
  assert.ok(!without.has(COLOURS.kept, left, 0, width - left, height));
  assert.ok(without.has(COLOURS.quiet, left, Math.floor(height / 2), width - left, 100));
});
