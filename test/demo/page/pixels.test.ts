/** Images and attention maps as pixels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { meanOverLayers, toPixels, toShade } from '../../../demo/page/pixels.js';

test('an image of three planes becomes opaque pixels of 256 levels', () => {
  const image = Float32Array.of(-1, 1, 0, 1, -1, 0.5);
  assert.deepEqual([...toPixels(image)], [0, 128, 0, 255, 255, 255, 191, 255]);
});

test('values outside the range are the nearest colour', () => {
  assert.deepEqual([...toPixels(Float32Array.of(-3, 9, 0))], [0, 255, 128, 255]);
});

test('the mean over layers keeps tokens apart', () => {
  const attention = Float32Array.of(0, 0.2, 0.4, 0.6, 1, 0.4, 0, 0.2);
  assert.deepEqual(
    [...meanOverLayers(attention, 2)].map((value) => Number(value.toFixed(5))),
    [0.5, 0.3, 0.2, 0.4],
  );
});

test('the shade of a word is clear where its attention is highest, whatever that is', () => {
  const maps = Float32Array.of(9, 9, 0.1, 0, 0.05, 0.1);
  const alphas = [3, 7, 11, 15].map((place) => toShade(maps.subarray(2), 0, 4)[place] ?? NaN);
  const [most = NaN, none = NaN, half = NaN, same = NaN] = alphas;
  assert.deepEqual([most, same], [0, 0]);
  assert.ok(none > half && half > 0);
});

test('a word without any attention is dark everywhere, not an error', () => {
  const shade = toShade(new Float32Array(2), 0, 2);
  assert.ok((shade[3] ?? NaN) > 200 && shade[3] === shade[7]);
});
