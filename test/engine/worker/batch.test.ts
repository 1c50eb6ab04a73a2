/** Owns the proof of how parts are laid into a batch: where each value goes, and what is not copied. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type LaidBatch, layBatch } from '../../../src/engine/worker/batch.js';
import { BatchMemory } from '../../../src/engine/worker/batch-memory.js';
import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import type { ManifestInput } from '../../../src/probe/manifest.js';
import { type ReadySlice, readySlice } from '../../../src/engine/worker/slice.js';
import { type UnpackedSlice, packSlices, unpackSlices } from '../../../src/engine/worker/packing.js';
import { wholeSlice } from '../../../src/engine/worker/slice-samples.js';
import type { TensorData } from '../../../clients/typescript/src/safetensors.js';
import { tinyInputs } from '../../support/onnx.js';
import { decodedBody, padded, randomSamples, tensorsOf } from '../../support/samples.js';

const SIZE = { layers: 2, height: 1, width: 2 };
const INPUTS = tinyInputs(SIZE.layers, SIZE.height, SIZE.width, 'F32');

/** A part as it arrives in the worker. */
function arrived(
  tensors: Record<string, TensorData>,
  inputs: readonly ManifestInput[] = INPUTS,
): UnpackedSlice {
  const layouts = inputs.map(layoutOf);
  const [slice] = unpackSlices(packSlices([wholeSlice(decodedBody(tensors))], layouts), layouts);
  assert.ok(slice);
  return slice;
}

function ready(tensors: Record<string, TensorData>, inputs: readonly ManifestInput[] = INPUTS): ReadySlice {
  const slice = readySlice(arrived(tensors, inputs), inputs.map(layoutOf));
  assert.ok('values' in slice, JSON.stringify(slice));
  return slice;
}

/** Laid into memory that holds something else before, as that of earlier runs does. */
function feedsOf(
  slices: readonly ReadySlice[],
  inputs: readonly ManifestInput[] = INPUTS,
): LaidBatch['feeds'] {
  const memory = new BatchMemory();
  new Uint8Array(memory.reserve(1)).fill(0xff);
  return layBatch(slices, inputs.map(layoutOf), memory).feeds;
}

test('batches are laid into the same memory, which grows when it must', () => {
  const memory = new BatchMemory();
  const small = ready(tensorsOf(randomSamples(SIZE, 3, 1), 'F32'));
  const large = ready(tensorsOf(randomSamples(SIZE, 100, 50), 'F32'));
  const layouts = INPUTS.map(layoutOf);
  const first = layBatch([small], layouts, memory).feeds['attention'];
  const second = layBatch([small], layouts, memory).feeds['attention'];
  assert.ok(first && second);
  assert.equal(second.data.buffer, first.data.buffer);
  const grown = layBatch([large, large], layouts, memory).feeds['attention'];
  assert.equal(grown?.data.length, 100 * 100 * SIZE.layers * SIZE.width);
  assert.equal(memory.reserve(1).byteLength % 65_536, 0);
});

test('values stand in order of slice, sample, layer and token, padding is zero', () => {
  const [first] = randomSamples(SIZE, 1, 1);
  const [second] = randomSamples(SIZE, 2, 1);
  assert.ok(first && second);
  const short = { ...first, attention: Float32Array.of(0.1, 0.2, 0.3, 0.4), timestep: 1 };
  const long = {
    ...second,
    attention: Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.15, 0.25, 0.35, 0.45),
    timestep: 2,
  };
  const feeds = feedsOf([ready(tensorsOf([short], 'F32')), ready(tensorsOf([long], 'F32'))]);
  assert.deepEqual(feeds['attention']?.dims, [2, 2, 2, 1, 2]);
  const expected = [0.1, 0.2, 0, 0, 0.3, 0.4, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.15, 0.25, 0.35, 0.45];
  assert.deepEqual(feeds['attention']?.data, Float32Array.from(expected));
  assert.deepEqual(feeds['token_mask']?.data, Uint8Array.of(1, 0, 1, 1));
  assert.deepEqual(feeds['timestep']?.data, Float32Array.of(1, 2));
});

test('padding that every sample shares takes no room in the batch', () => {
  const samples = randomSamples(SIZE, 2, 3).map((sample) => padded(sample, 70, 0.5));
  const feeds = feedsOf([ready(tensorsOf(samples, 'F32'))]);
  assert.deepEqual(feeds['attention']?.dims, [3, 2, 2, 1, 2]);
  assert.deepEqual(feeds['token_mask']?.data, Uint8Array.of(1, 1, 1, 1, 1, 1));
});

test('masked tokens are zeroed in every tensor that has tokens, and their values are not looked at', () => {
  const inputs: ManifestInput[] = [
    ...INPUTS,
    { name: 'token_ids', dtype: 'I64', shape: ['batch', 'tokens'] },
    { name: 'embedding', dtype: 'F32', shape: ['batch', 'tokens', 2] },
  ];
  const [sample] = randomSamples(SIZE, 3, 1);
  assert.ok(sample);
  const holed = { ...sample, mask: Uint8Array.of(1, 0, 1) };
  const slice = ready(
    {
      ...tensorsOf([holed], 'F32'),
      token_ids: { dtype: 'I64', shape: [1, 3], data: BigInt64Array.of(7n, 8n, 9n) },
      embedding: { dtype: 'F32', shape: [1, 3, 2], data: Float32Array.of(1, 2, NaN, Infinity, 5, 6) },
    },
    inputs,
  );
  const feeds = feedsOf([slice], inputs);
  assert.deepEqual(feeds['token_ids']?.data, BigInt64Array.of(7n, 0n, 9n));
  assert.deepEqual(feeds['embedding']?.data, Float32Array.of(1, 2, 0, 0, 5, 6));
});

test('a signal that is not finite, or not as a half, is told by name', () => {
  const inputs: ManifestInput[] = [...INPUTS, { name: 'preview', dtype: 'F16', shape: ['batch', 2] }];
  const tensors = tensorsOf(randomSamples(SIZE, 1, 2), 'F32');
  for (const [value, received] of [
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    [70_000, 70_000],
  ] as const) {
    const preview: TensorData = { dtype: 'F32', shape: [2, 2], data: Float32Array.of(0, 0, 0, value) };
    const slice = readySlice(arrived({ ...tensors, preview }, inputs), inputs.map(layoutOf));
    assert.ok('fault' in slice);
    assert.deepEqual(slice.fault, {
      code: 'value_not_finite',
      detail: `The tensor "preview" of sample 1 holds ${value}, which is not finite as F16.`,
      field: 'preview',
      received,
      expected: 'finite values',
    });
  }
});

test('a timestep that is not finite is told', () => {
  const samples = randomSamples(SIZE, 1, 1).map((sample) => ({ ...sample, timestep: NaN }));
  const slice = readySlice(arrived(tensorsOf(samples)), INPUTS.map(layoutOf));
  assert.ok('fault' in slice);
  assert.equal(slice.fault.code, 'value_not_finite');
  assert.equal(slice.fault.field, 'timestep');
});

test('whatever the slices, each real value can be found again in its place', () => {
  const shape = fc.record({
    tokens: fc.integer({ min: 1, max: 4 }),
    samples: fc.integer({ min: 1, max: 3 }),
    padding: fc.integer({ min: 0, max: 3 }),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 4 }), (shapes) => {
      const groups = shapes.map(({ tokens, samples, seed }) => randomSamples(SIZE, tokens, samples, seed));
      const slices = groups.map((samples, index) =>
        ready(
          tensorsOf(
            samples.map((sample) => padded(sample, shapes[index]?.padding ?? 0, 1)),
            'F32',
          ),
        ),
      );
      const batch = feedsOf(slices)['attention'];
      const tokens = Math.max(...shapes.map((each) => each.tokens));
      const expected = groups
        .flat()
        .flatMap((sample) => [...padded(sample, tokens - sample.mask.length).attention]);
      assert.deepEqual([...(batch?.data ?? [])], expected);
    }),
  );
});
