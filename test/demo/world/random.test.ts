/** The initial noise is standard normal, and the same for the same prompt and seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sha256 } from '../../../demo/world/node/random.js';
import { initialNoise as noiseBy } from '../../../demo/world/random.js';

const LENGTH = 12_288;

function initialNoise(prompt: string, seed: number, length: number): Float32Array {
  return noiseBy(sha256, prompt, seed, length);
}

test('the noise depends on the prompt and on the seed, and on nothing else', () => {
  const noise = initialNoise('a cat', 3, LENGTH);
  assert.deepEqual(initialNoise('a cat', 3, LENGTH), noise);
  assert.notDeepEqual(initialNoise('a cat', 4, LENGTH), noise);
  assert.notDeepEqual(initialNoise('a dog', 3, LENGTH), noise);
});

test('the noise of a known prompt and seed does not change between versions', () => {
  const known = [-0.271_538, 0.720_321, 0.568_221, -0.085_327, -0.145_051, 0.439_711];
  for (const [index, value] of initialNoise('a cat', 3, known.length).entries()) {
    assert.ok(Math.abs(value - (known[index] ?? NaN)) < 1e-6);
  }
});

test('the values are standard normal', () => {
  const values = [...initialNoise('a cat', 0, LENGTH)];
  const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0) / LENGTH;
  assert.ok(Math.abs(moment(1)) < 0.04);
  assert.ok(Math.abs(moment(2) - 1) < 0.06);
  assert.ok(Math.abs(moment(3)) < 0.15);
  assert.ok(Math.abs(moment(4) - 3) < 0.3);
  assert.ok(values.every(Number.isFinite));
});

test('an odd number of values is filled completely', () => {
  assert.ok(initialNoise('a cat', 0, 7).every((value) => value !== 0));
});
