/** The sheet is a PNG with a column per sample and a row per step: kept samples are framed, dropped ones crossed out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PNG } from 'pngjs';

import { drawSheet, type SheetColumn } from '../../demo/sheet.js';

const SIDE = 8;
const PICTURE = SIDE * 3;
const TOP = 16 + 16 + 12 + 16;
const GREEN = [34, 150, 84];
const GREY = [228, 228, 226];
const RED = [205, 52, 52];
const PAPER = [250, 250, 248];

function column(droppedAt: number | null, steps = [5]): SheetColumn {
  const image = new Float32Array(3 * SIDE * SIDE).fill(-1);
  const answers = steps
    .filter((step) => droppedAt === null || step <= droppedAt)
    .map((step) => ({ step, preview: image, result: undefined }));
  return droppedAt === null
    ? { answers, droppedAt, image, quality: 0.9, rank: 1 }
    : { answers, droppedAt, rank: null };
}

function draw(
  columns: SheetColumn[],
  { caption = 'a cat', steps = [5] } = {},
): { png: PNG; at: (x: number, y: number) => number[] } {
  const title = { caption, steps, totalSteps: 25, side: SIDE };
  const png = PNG.sync.read(drawSheet(columns, title));
  return { png, at: (x, y) => [...png.data.subarray((y * png.width + x) * 4, (y * png.width + x) * 4 + 3)] };
}

test('one column per sample', () => {
  const widthOf = (count: number): number => draw(Array<SheetColumn>(count).fill(column(null))).png.width;
  assert.equal(widthOf(2), 2 * 16 + 2 * PICTURE + 12);
  assert.equal(widthOf(3), 2 * 16 + 3 * PICTURE + 2 * 12);
});

test('a caption wider than the columns is not cut off', () => {
  const caption = 'a cat left of two keys';
  const { png, at } = draw([column(null)], { caption });
  assert.equal(png.width, 2 * 16 + (4 * caption.length - 1) * 2);
  const lastLetter = Array.from({ length: 10 * 6 }, (_, pixel) =>
    at(png.width - 17 - (pixel % 6), 16 + Math.floor(pixel / 6)),
  );
  assert.ok(lastLetter.some(([red = 255]) => red < 100));
});

test('the preview of a kept sample is framed and not faded', () => {
  const { at } = draw([column(null)]);
  assert.deepEqual(at(16, TOP), GREEN);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), [0, 0, 0]);
});

test('the preview of a dropped sample is faded and crossed out', () => {
  const { at } = draw([column(5)]);
  assert.deepEqual(at(16, TOP), RED);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), RED);
  assert.ok((at(16 + PICTURE / 2, TOP + 2)[0] ?? NaN) > 100);
});

test('a finished image is shown, a missing one is a grey square', () => {
  const finals = TOP + PICTURE + 16 + 12 + 16 + PICTURE / 2;
  assert.deepEqual(draw([column(5)]).at(16 + PICTURE / 2, finals), GREY);
  assert.deepEqual(draw([column(null)]).at(16 + PICTURE / 2, finals), [0, 0, 0]);
});

test('a row of previews per step, blank where the sample was dropped before', () => {
  const steps = [1, 5];
  const { png, at } = draw([column(null, steps), column(1, steps)], { steps });
  const rowHeight = draw([column(null)]).png.height - draw([column(null, [])], { steps: [] }).png.height;
  assert.equal(png.height, draw([column(null)]).png.height + rowHeight);
  const second = 16 + PICTURE + 12;
  assert.deepEqual(at(second, TOP), RED);
  assert.deepEqual(at(16, TOP + rowHeight), GREEN);
  assert.deepEqual(at(second, TOP + rowHeight), PAPER);
});
