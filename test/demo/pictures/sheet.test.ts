/** The sheet has a column per sample and a row per step: kept samples are framed, dropped ones are pale and have a cross. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DrawnSample, SampleAnswer } from '../../../demo/drawing/draw-group.js';
import { drawSheet } from '../../../demo/pictures/sheet.js';
import { COLOURS } from '../../../demo/pictures/style.js';
import { readPng, type Png } from '../../support/png.js';

const SIDE = 8;
const SIZE = 192;
const GAP = 10;
const MARGIN = 36;
const BLACK = new Float32Array(3 * SIDE * SIDE).fill(-1);

interface SampleOptions {
  readonly droppedAt?: number | null;
  readonly steps?: readonly number[];
  readonly score?: number;
}

function sample({ droppedAt = null, steps = [5], score = 0.5 }: SampleOptions = {}): DrawnSample {
  const result = { score } as SampleAnswer['result'];
  const answers = steps
    .filter((step) => droppedAt === null || step <= droppedAt)
    .map((step) => ({ step, preview: BLACK, result }));
  const drawn = { seed: 0, answers, droppedAt };
  return droppedAt === null ? { ...drawn, image: BLACK, quality: 0.9 } : drawn;
}

function draw(samples: DrawnSample[], { caption = 'a cat', steps = [5] } = {}): Promise<Png> {
  return readPng(drawSheet(caption, samples, { steps, totalSteps: 25, side: SIDE }));
}

/** Where the pictures of a row are, with the height of a row as that of one more step. */
async function rows(): Promise<{ first: number; height: number }> {
  const heightOf = async (steps: number[]) => (await draw([sample({ steps })], { steps })).height;
  const height = (await heightOf([1, 5])) - (await heightOf([5]));
  const { height: all } = await draw([sample({ steps: [] })], { steps: [] });
  // The last row ends with its picture, a line of text and the margin.
  return { first: all - MARGIN - 40 - SIZE, height };
}

test('one column per sample', async () => {
  const widthOf = async (count: number) => (await draw(Array.from({ length: count }, () => sample()))).width;
  assert.equal(await widthOf(4), 2 * MARGIN + 4 * SIZE + 3 * GAP);
  assert.equal((await widthOf(5)) - (await widthOf(4)), SIZE + GAP);
});

test('a caption wider than the columns is not cut off', async () => {
  const caption = 'a cat left of two keys on a blue background';
  const { width, has } = await draw([sample()], { caption });
  assert.ok(width > 2 * MARGIN + SIZE);
  assert.ok(has(COLOURS.ink, width - MARGIN - 30, MARGIN, 30, 40), 'the last letters');
  assert.ok(!has(COLOURS.ink, width - MARGIN + 2, MARGIN, MARGIN - 6, 40), 'the margin is empty');
});

test('the corners are transparent, so that the sheet suits light and dark pages', async () => {
  const { at, width, height } = await draw([sample()]);
  for (const [x, y] of [
    [0, 0],
    [width - 1, 0],
    [0, height - 1],
    [width - 1, height - 1],
  ] as const)
    assert.equal(at(x, y)[3], 0);
  assert.deepEqual(at(width / 2, 10), [255, 255, 255, 255]);
});

test('the preview of a kept sample is framed and not faded', async () => {
  const { first } = await rows();
  const { at, has } = await draw([sample()]);
  assert.deepEqual(at(MARGIN + SIZE / 2, first + SIZE / 2), [0, 0, 0, 255]);
  assert.ok(has(COLOURS.kept, MARGIN + SIZE / 2, first, 1, 8));
  assert.ok(!has(COLOURS.dropped, MARGIN, first, SIZE, SIZE));
});

test('the preview of a dropped sample is faded and has a cross', async () => {
  const { first } = await rows();
  const { at, has } = await draw([sample({ droppedAt: 5 })]);
  assert.ok(at(MARGIN + SIZE / 2, first + SIZE / 2)[0] > 100);
  assert.ok(has(COLOURS.dropped, MARGIN + SIZE / 2, first, SIZE / 2, SIZE / 2));
  assert.ok(!has(COLOURS.kept, MARGIN, first, SIZE, SIZE));
});

test('a finished image is shown, a missing one is a grey square', async () => {
  const { first, height } = await rows();
  const middle = first + height + SIZE / 2;
  assert.deepEqual((await draw([sample()])).at(MARGIN + SIZE / 2, middle), [0, 0, 0, 255]);
  assert.ok((await draw([sample({ droppedAt: 5 })])).has(COLOURS.missing, MARGIN + SIZE / 2, middle, 1, 1));
});

test('who lived longer is further left, and of those who has the higher last score', async () => {
  const steps = [1, 5];
  const { first, height } = await rows();
  // White, so that it is told from the other one that was dropped at step 5.
  const white = BLACK.map(() => 1);
  const other = sample({ droppedAt: 5, steps, score: 0.9 });
  const samples = [
    sample({ droppedAt: 1, steps }),
    sample({ droppedAt: 5, steps, score: 0.2 }),
    sample({ steps, score: 0.4 }),
    { ...other, answers: other.answers.map((answer) => ({ ...answer, preview: white })) },
  ];
  const { has, at } = await draw(samples, { steps });
  const column = (index: number): number => MARGIN + index * (SIZE + GAP) + SIZE / 2;
  const second = first + height;
  assert.ok(has(COLOURS.kept, column(0), second, 1, 8), 'the kept one is first');
  assert.deepEqual(at(column(1), second + SIZE / 2), [255, 255, 255, 255]);
  assert.ok(at(column(2), second + SIZE / 2)[0] < 200);
  assert.deepEqual(at(column(3), second + SIZE / 2), [255, 255, 255, 255], 'not asked about at step 5');
  assert.ok(at(column(3), first + SIZE / 2)[0] < 200, 'but at step 1');
});
