/** The reference world draws the same in WebAssembly, as on the page, as in Node. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { sha256 } from '@noble/hashes/sha2.js';
import * as ort from 'onnxruntime-web';

import { loadWorld, readDescription } from '../../../demo/world/node/load-world.js';
import { OrtGraph } from '../../../demo/world/ort-graph.js';
import { Sampler, type Step } from '../../../demo/world/sampler.js';
import { World } from '../../../demo/world/world.js';

const FOLDER = 'reference';
const CAPTION = 'a cat left of two keys on a blue background';
const SEED = 3;
/** The kernels of the two libraries differ by rounding, and each step adds to it. */
const ROUNDING = 5e-3;

/** The world as the page opens it, with files in place of requests. */
async function openInWebAssembly(): Promise<World> {
  ort.env.wasm.numThreads = 1;
  return World.open(await readDescription(FOLDER), {
    openGraph: async (name) => {
      const model = await readFile(path.join(FOLDER, name));
      const options = { executionProviders: ['wasm'], logSeverityLevel: 3 } as const;
      return new OrtGraph(await ort.InferenceSession.create(model, options), ort.Tensor);
    },
    sha256: (text) => sha256(new TextEncoder().encode(text)),
  });
}

async function drawTwoSteps(world: World): Promise<{ step: Step; images: Float32Array; quality: number }> {
  const encoded = await world.encode(CAPTION);
  const sampler = new Sampler(world, encoded, world.initialNoise(CAPTION, SEED));
  await sampler.next();
  const step = await sampler.next();
  const [quality = NaN] = await world.measureQuality(step.preview, encoded);
  return { step, images: sampler.images, quality };
}

function largestDifference(left: Float32Array, right: Float32Array): number {
  assert.equal(left.length, right.length);
  return left.reduce((most, value, index) => Math.max(most, Math.abs(value - (right[index] ?? NaN))), 0);
}

test('noise, attention, images and quality of a caption are the same in both', async (t) => {
  const worlds = await Promise.all([loadWorld(FOLDER), openInWebAssembly()]);
  t.after(() => Promise.all(worlds.map((world) => world.close())));
  const [node, web] = worlds;
  assert.deepEqual(web.initialNoise(CAPTION, SEED), node.initialNoise(CAPTION, SEED));
  const expected = await drawTwoSteps(node);
  const drawn = await drawTwoSteps(web);
  assert.ok(largestDifference(drawn.step.attention, expected.step.attention) < ROUNDING);
  assert.ok(largestDifference(drawn.step.preview, expected.step.preview) < ROUNDING);
  assert.ok(largestDifference(drawn.images, expected.images) < ROUNDING);
  assert.ok(Math.abs(drawn.quality - expected.quality) < ROUNDING);
});
