/** The sheet is a PNG with a column per candidate: kept candidates are framed, dropped ones crossed out. */
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

function column(kept: boolean): SheetColumn {
  const image = new Float32Array(3 * SIDE * SIDE).fill(-1);
  const seen = { preview: image, score: 0.5 } as const;
  return kept ? { ...seen, decision: 'keep', image, quality: 0.9 } : { ...seen, decision: 'drop' };
}

function draw(
  columns: SheetColumn[],
  caption = 'a cat',
): { png: PNG; at: (x: number, y: number) => number[] } {
  const title = { caption, step: 5, totalSteps: 25, side: SIDE };
  const png = PNG.sync.read(drawSheet(columns, title));
  return { png, at: (x, y) => [...png.data.subarray((y * png.width + x) * 4, (y * png.width + x) * 4 + 3)] };
}

test('one column per candidate', () => {
  const widthOf = (count: number): number => draw(Array<SheetColumn>(count).fill(column(true))).png.width;
  assert.equal(widthOf(2), 2 * 16 + 2 * PICTURE + 12);
  assert.equal(widthOf(3), 2 * 16 + 3 * PICTURE + 2 * 12);
});

test('a caption wider than the columns is not cut off', () => {
  const caption = 'a cat left of two keys';
  const { png, at } = draw([column(true)], caption);
  assert.equal(png.width, 2 * 16 + (4 * caption.length - 1) * 2);
  const lastLetter = Array.from({ length: 10 * 6 }, (_, pixel) =>
    at(png.width - 17 - (pixel % 6), 16 + Math.floor(pixel / 6)),
  );
  assert.ok(lastLetter.some(([red = 255]) => red < 100));
});

test('the preview of a kept candidate is framed and not faded', () => {
  const { at } = draw([column(true)]);
  assert.deepEqual(at(16, TOP), GREEN);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), [0, 0, 0]);
});

test('the preview of a dropped candidate is faded and crossed out', () => {
  const { at } = draw([column(false)]);
  assert.deepEqual(at(16, TOP), RED);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), RED);
  assert.ok((at(16 + PICTURE / 2, TOP + 2)[0] ?? NaN) > 100);
});

test('a finished image is shown, a missing one is a grey square', () => {
  const finals = TOP + PICTURE + 16 + 12 + 16 + PICTURE / 2;
  assert.deepEqual(draw([column(false)]).at(16 + PICTURE / 2, finals), GREY);
  assert.deepEqual(draw([column(true)]).at(16 + PICTURE / 2, finals), [0, 0, 0]);
});

test('a candidate without a score is drawn as kept', () => {
  const { score: _, ...unscored } = column(true);
  assert.deepEqual(draw([unscored]).at(16, TOP), GREEN);
});
