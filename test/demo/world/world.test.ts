/** The committed reference world: properties of its graphs, and the errors for missing or changed files. */
import assert from 'node:assert/strict';
import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { loadWorld } from '../../../demo/world/node/load-world.js';
import { Sampler } from '../../../demo/world/sampler.js';
import type { World } from '../../../demo/world/world.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const FOLDER = 'reference';
const CAPTION = 'a cat left of two keys on a blue background';
/** Another batch size uses other kernels, whose results differ by rounding. */
const ROUNDING = 1e-3;

function noiseOf(world: World, seeds: readonly number[]): Float32Array {
  return Float32Array.from(seeds.flatMap((seed) => [...world.initialNoise(CAPTION, seed)]));
}

test('the attention of a position is probabilities that sum to at most one', async (t) => {
  const world = await loadWorld(FOLDER);
  t.after(() => world.close());
  const { layers, height, width } = world.description.capture;
  const caption = await world.encode(CAPTION);
  const { attention } = await new Sampler(world, caption, noiseOf(world, [0, 1])).next();
  const [positions, tokens] = [height * width, caption.ids.length - 1];
  assert.equal(attention.length, 2 * layers.length * tokens * positions);
  assert.ok(attention.every((value) => value >= 0 && value <= 1));
  for (let map = 0; map < 2 * layers.length; map += 1) {
    const of = (token: number): number => attention[(map * tokens + token) * positions] ?? NaN;
    const mass = Array.from({ length: tokens }, (_, token) => of(token)).reduce((sum, value) => sum + value);
    assert.ok(mass > 0 && mass <= 1.001, `the first position of map ${map} has the mass ${mass}`);
  }
});

test('removing samples does not change the image of another', async (t) => {
  const world = await loadWorld(FOLDER);
  t.after(() => world.close());
  const caption = await world.encode(CAPTION);
  const [thinned, alone] = [noiseOf(world, [0, 1, 2]), noiseOf(world, [1])].map(
    (noise) => new Sampler(world, caption, noise),
  ) as [Sampler, Sampler];
  for (let step = 1; step <= 8; step += 1) {
    await thinned.next();
    await alone.next();
    if (step === 5) thinned.keep([1]);
  }
  const [left, right] = [thinned.images, alone.images];
  assert.ok(left.every((value, index) => Math.abs(value - (right[index] ?? NaN)) < ROUNDING));
});

test('the reward gives every image a quality in [0, 1], and noise a low one', async (t) => {
  const world = await loadWorld(FOLDER);
  t.after(() => world.close());
  const qualities = await world.measureQuality(noiseOf(world, [0, 1, 2]), await world.encode(CAPTION));
  assert.equal(qualities.length, 3);
  assert.ok(qualities.every((quality) => quality >= 0 && quality <= 1));
  assert.ok(
    qualities.every((quality) => quality < 0.5),
    'noise scored as a picture of a cat',
  );
});

test('a missing world, an invalid description and a changed file are different errors', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(loadWorld(folder), /the reference world is missing: .*reference\.json cannot be read/);

  const description = path.join(folder, 'reference.json');
  await writeFile(description, '{');
  await assert.rejects(loadWorld(folder), /reference\.json is not valid/);
  await writeFile(description, '{"vocabulary": []}');
  await assert.rejects(loadWorld(folder), /reference\.json is not valid.*vocabulary/s);

  await copyFile(path.join(FOLDER, 'reference.json'), description);
  await assert.rejects(loadWorld(folder), /text_encoder\.onnx/);
  await writeFile(path.join(folder, 'text_encoder.onnx'), 'something else');
  await assert.rejects(loadWorld(folder), /text_encoder\.onnx in .* has the SHA-256/);
});
