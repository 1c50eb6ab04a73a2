/** The sampler integrates from noise to image, and removing samples does not change the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noiseLevels, Sampler } from '../../../demo/world/sampler.js';
import { CAPTION, IMAGE_SIZE, knowingDenoiser } from '../../support/world.js';

const target = Float32Array.from({ length: IMAGE_SIZE }, (_, index) => index / IMAGE_SIZE - 0.5);

function noise(rows: number): Float32Array {
  return Float32Array.from({ length: rows * IMAGE_SIZE }, (_, index) => Math.sin(index * 7.3));
}

async function finish(sampler: Sampler): Promise<void> {
  while (!sampler.isFinished) await sampler.next();
}

test('the noise levels are those of the reference backbone', () => {
  const levels = noiseLevels(25, 0.67);
  assert.equal(levels.length, 26);
  assert.equal(levels[0], 1);
  assert.equal(levels[25], 0);
  assert.ok(Math.abs((levels[4] ?? NaN) - 0.7786) < 1e-4, 'the input of step 5');
  assert.ok(Math.abs((levels[9] ?? NaN) - 0.5436) < 1e-4, 'the input of step 10');
});

test('a denoiser that knows the image leads to it', async () => {
  const denoiser = knowingDenoiser(target);
  const sampler = new Sampler(denoiser, CAPTION, noise(2));
  await finish(sampler);
  assert.equal(denoiser.calls.length, 25);
  for (const [index, value] of sampler.images.entries()) {
    assert.ok(Math.abs(value - (target[index % IMAGE_SIZE] ?? NaN)) < 1e-5);
  }
});

test('a step has its number, its timestep and the expected image', async () => {
  const sampler = new Sampler(knowingDenoiser(target), CAPTION, noise(1));
  await sampler.next();
  const step = await sampler.next();
  assert.equal(step.step, 2);
  assert.ok(Math.abs(step.timestep - 1000 * (noiseLevels(25, 0.67)[1] ?? NaN)) < 1e-9);
  assert.ok(step.preview.every((value, index) => Math.abs(value - (target[index] ?? NaN)) < 1e-5));
});

test('the kept samples are bit for bit what they would be without the removal', async () => {
  const denoiser = knowingDenoiser(target);
  const [whole, thinned] = [
    new Sampler(denoiser, CAPTION, noise(4)),
    new Sampler(denoiser, CAPTION, noise(4)),
  ];
  for (let step = 0; step < 5; step += 1) {
    await whole.next();
    await thinned.next();
  }
  thinned.keep([3, 1]);
  assert.equal(thinned.rows, 2);
  const [complete, rest] = [await whole.next(), await thinned.next()];
  assert.deepEqual(rest.preview.slice(0, IMAGE_SIZE), complete.preview.slice(3 * IMAGE_SIZE));
  assert.deepEqual(rest.preview.slice(IMAGE_SIZE), complete.preview.slice(IMAGE_SIZE, 2 * IMAGE_SIZE));
  await finish(whole);
  await finish(thinned);
  assert.deepEqual(thinned.images.slice(0, IMAGE_SIZE), whole.images.slice(3 * IMAGE_SIZE));
});

test('no row is left when every sample was removed', async () => {
  const sampler = new Sampler(knowingDenoiser(target), CAPTION, noise(2));
  await sampler.next();
  sampler.keep([]);
  assert.equal(sampler.rows, 0);
});

test('the guidance difference is the mean square of conditional minus unconditional velocity', async () => {
  const denoiser = knowingDenoiser(target);
  const apart: typeof denoiser = {
    ...denoiser,
    denoise: async (...given) => {
      const { conditional, unconditional } = await denoiser.denoise(...given);
      const velocity = unconditional.velocity.map((value, index) => value + (index < IMAGE_SIZE ? 2 : 0));
      return { conditional, unconditional: { ...unconditional, velocity } };
    },
  };
  const { guidanceDifference } = await new Sampler(apart, CAPTION, noise(2)).next();
  assert.ok(Math.abs((guidanceDifference[0] ?? NaN) - 4) < 1e-5);
  assert.equal(guidanceDifference[1], 0);
});

test('a step in parts is the same as at once, and reports the previews of each part', async () => {
  const [whole, parted] = [noise(3), noise(3)].map(
    (latents) => new Sampler(knowingDenoiser(target), CAPTION, latents),
  ) as [Sampler, Sampler];
  const told: [number, number][] = [];
  const onRows = (first: number, previews: Float32Array) => told.push([first, previews.length / IMAGE_SIZE]);
  const expected = await whole.next();
  const step = await parted.next({ rowsAtOnce: 2, onRows });
  assert.deepEqual(told, [
    [0, 2],
    [2, 1],
  ]);
  assert.deepEqual(step.preview, expected.preview);
  assert.deepEqual(step.guidanceDifference, expected.guidanceDifference);
  assert.equal(step.attention.length, expected.attention.length);
  assert.deepEqual(parted.images, whole.images);
});
