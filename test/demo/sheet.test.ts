/** The sheet is a PNG with a column per candidate: kept ones framed, dropped ones crossed out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PNG } from 'pngjs';

import { drawSheet, type SheetColumn } from '../../src/demo/sheet.js';

const SIDE = 8;
const PICTURE = SIDE * 3;
const TOP = 16 + 16 + 12 + 16;
const GREEN = [34, 150, 84];
const RED = [205, 52, 52];

function column(kept: boolean): SheetColumn {
  const image = new Float32Array(3 * SIDE * SIDE).fill(-1);
  return {
    seed: 0,
    kept,
    preview: image,
    image: kept ? image : undefined,
    score: 0.5,
    quality: kept ? 0.9 : undefined,
  };
}

function draw(columns: SheetColumn[]): { png: PNG; at: (x: number, y: number) => number[] } {
  const title = { caption: 'a cat', step: 5, totalSteps: 25, side: SIDE };
  const png = PNG.sync.read(drawSheet(columns, title));
  return { png, at: (x, y) => [...png.data.subarray((y * png.width + x) * 4, (y * png.width + x) * 4 + 3)] };
}

test('one column per candidate', () => {
  assert.equal(draw([column(true)]).png.width, 2 * 16 + PICTURE);
  assert.equal(draw([column(true), column(false), column(false)]).png.width, 2 * 16 + 3 * PICTURE + 2 * 12);
});

test('the kept preview is framed and shown as it is', () => {
  const { at } = draw([column(true)]);
  assert.deepEqual(at(16, TOP), GREEN);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), [0, 0, 0]);
});

test('the dropped preview is faded and crossed out', () => {
  const { at } = draw([column(false)]);
  assert.deepEqual(at(16, TOP), RED);
  assert.deepEqual(at(16 + PICTURE / 2, TOP + PICTURE / 2), RED);
  assert.ok((at(16 + PICTURE / 2, TOP + 2)[0] ?? NaN) > 100);
});

test('a failed-open candidate without a score is drawn too', () => {
  const { png } = draw([{ ...column(true), score: undefined }]);
  assert.ok(png.height > 0);
});
