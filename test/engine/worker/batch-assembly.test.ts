/** Slices are checked and written into a batch: where each value goes, what is padded and what is zero. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type Feeds, assembleBatch } from '../../../src/engine/worker/batch-assembly.js';
import { BatchMemory } from '../../../src/engine/worker/batch-memory.js';
import { runBatch } from '../../../src/engine/worker/batch-runner.js';
import { layoutOf } from '../../../src/engine/worker/input-layout.js';
import { parseManifest } from '../../../src/probe/folder.js';
import type { ManifestInput } from '../../../src/probe/manifest.js';
import { type CheckedSlice, checkSlice } from '../../../src/engine/worker/check-slice.js';
import { openSession } from '../../../src/engine/worker/session.js';
import { type SampleSlice, sliceOf } from '../../../src/engine/worker/sample-slice.js';
import type { TensorData } from '../../../clients/typescript/src/safetensors.js';
import { tinyInputs } from '../../support/onnx.js';
import { decodedBody, padded, randomSamples, tensorsOf } from '../../support/samples.js';

const SIZE = { layers: 2, height: 1, width: 2 };
const INPUTS = tinyInputs(SIZE.layers, SIZE.height, SIZE.width, 'F32');

/** A slice as the worker receives it. */
function asReceived(tensors: Record<string, TensorData>): SampleSlice {
  return structuredClone(sliceOf(decodedBody(tensors)));
}

function checked(
  tensors: Record<string, TensorData>,
  inputs: readonly ManifestInput[] = INPUTS,
): CheckedSlice {
  const slice = checkSlice(asReceived(tensors), inputs.map(layoutOf), false);
  assert.ok('values' in slice, JSON.stringify(slice));
  return slice;
}

/** Assembles in memory that holds other data, as after earlier runs. */
function feedsOf(
  slices: readonly CheckedSlice[],
  inputs: readonly ManifestInput[] = INPUTS,
  isPadded = false,
): Feeds {
  const memory = new BatchMemory();
  new Uint8Array(memory.reserve(1)).fill(0xff);
  return assembleBatch(slices, inputs.map(layoutOf), memory, isPadded);
}

test('batches are assembled in the same memory, which grows when needed', () => {
  const memory = new BatchMemory();
  const small = checked(tensorsOf(randomSamples(SIZE, 3, 1), 'F32'));
  const large = checked(tensorsOf(randomSamples(SIZE, 100, 50), 'F32'));
  const layouts = INPUTS.map(layoutOf);
  const first = assembleBatch([small], layouts, memory)['attention'];
  const second = assembleBatch([small], layouts, memory)['attention'];
  assert.ok(first && second);
  assert.equal(second.data.buffer, first.data.buffer);
  const grown = assembleBatch([large, large], layouts, memory)['attention'];
  assert.equal(grown?.data.length, 100 * 100 * SIZE.layers * SIZE.width);
  assert.equal(memory.reserve(1).byteLength % 65_536, 0);
});

test('values are in the order of slice, sample, layer and token, and padding is zero', () => {
  const [first] = randomSamples(SIZE, 1, 1);
  const [second] = randomSamples(SIZE, 2, 1);
  assert.ok(first && second);
  const short = { ...first, attention: Float32Array.of(0.1, 0.2, 0.3, 0.4), timestep: 1 };
  const long = {
    ...second,
    attention: Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.15, 0.25, 0.35, 0.45),
    timestep: 2,
  };
  const feeds = feedsOf([checked(tensorsOf([short], 'F32')), checked(tensorsOf([long], 'F32'))]);
  assert.deepEqual(feeds['attention']?.dims, [2, 2, 2, 1, 2]);
  const expected = [0.1, 0.2, 0, 0, 0.3, 0.4, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.15, 0.25, 0.35, 0.45];
  assert.deepEqual(feeds['attention']?.data, Float32Array.from(expected));
  assert.deepEqual(feeds['token_mask']?.data, Uint8Array.of(1, 0, 1, 1));
  assert.deepEqual(feeds['timestep']?.data, Float32Array.of(1, 2));
});

test('padding that all samples share takes no room in the batch', () => {
  const samples = randomSamples(SIZE, 2, 3).map((sample) => padded(sample, 70, 0.5));
  const feeds = feedsOf([checked(tensorsOf(samples, 'F32'))]);
  assert.deepEqual(feeds['attention']?.dims, [3, 2, 2, 1, 2]);
  assert.deepEqual(feeds['token_mask']?.data, Uint8Array.of(1, 1, 1, 1, 1, 1));
});

test('masked tokens are set to zero in every tensor with tokens, and their values are not checked', () => {
  const inputs: ManifestInput[] = [
    ...INPUTS,
    { name: 'token_ids', dtype: 'I64', shape: ['batch', 'tokens'] },
    { name: 'embedding', dtype: 'F32', shape: ['batch', 'tokens', 2] },
  ];
  const [sample] = randomSamples(SIZE, 3, 1);
  assert.ok(sample);
  const withGap = { ...sample, mask: Uint8Array.of(1, 0, 1) };
  const slice = checked(
    {
      ...tensorsOf([withGap], 'F32'),
      token_ids: { dtype: 'I64', shape: [1, 3], data: BigInt64Array.of(7n, 8n, 9n) },
      embedding: { dtype: 'F32', shape: [1, 3, 2], data: Float32Array.of(1, 2, NaN, Infinity, 5, 6) },
    },
    inputs,
  );
  const feeds = feedsOf([slice], inputs);
  assert.deepEqual(feeds['token_ids']?.data, BigInt64Array.of(7n, 0n, 9n));
  assert.deepEqual(feeds['embedding']?.data, Float32Array.of(1, 2, 0, 0, 5, 6));
});

test('a signal that is not finite, also as F16, is rejected by its name', () => {
  const inputs: ManifestInput[] = [...INPUTS, { name: 'preview', dtype: 'F16', shape: ['batch', 2] }];
  const tensors = tensorsOf(randomSamples(SIZE, 1, 2), 'F32');
  for (const [value, received] of [
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    [70_000, 70_000],
  ] as const) {
    const preview: TensorData = { dtype: 'F32', shape: [2, 2], data: Float32Array.of(0, 0, 0, value) };
    const slice = checkSlice(asReceived({ ...tensors, preview }), inputs.map(layoutOf), false);
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

test('a timestep that is not finite is rejected', () => {
  const samples = randomSamples(SIZE, 1, 1).map((sample) => ({ ...sample, timestep: NaN }));
  const slice = checkSlice(asReceived(tensorsOf(samples)), INPUTS.map(layoutOf), false);
  assert.ok('fault' in slice);
  assert.equal(slice.fault.code, 'value_not_finite');
  assert.equal(slice.fault.field, 'timestep');
});

test('each real value of any slices is in its place', () => {
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
        checked(
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

test('for CUDA, samples are padded to a power of two and tokens to a multiple of 16, with zeros', () => {
  const inputs: ManifestInput[] = [
    ...INPUTS,
    { name: 'token_ids', dtype: 'I64', shape: ['batch', 'tokens'] },
  ];
  const tensors = tensorsOf(randomSamples(SIZE, 2, 3), 'F32');
  const ids = BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n);
  const slice = checked({ ...tensors, token_ids: { dtype: 'I64', shape: [3, 2], data: ids } }, inputs);
  const plain = feedsOf([slice], inputs);
  const feeds = feedsOf([slice], inputs, true);
  assert.deepEqual(feeds['attention']?.dims, [4, 2, 16, 1, 2]);
  const values = Array.from(feeds['attention']?.data as Float32Array);
  const expected = Array.from(plain['attention']?.data as Float32Array);
  for (let map = 0; map < 6; map += 1) {
    const padding = Array.from({ length: 28 }, () => 0);
    assert.deepEqual(values.slice(map * 32, (map + 1) * 32), [
      ...expected.slice(map * 4, (map + 1) * 4),
      ...padding,
    ]);
  }
  assert.deepEqual(new Set(values.slice(6 * 32)), new Set([0]));
  assert.deepEqual(feeds['token_ids']?.dims, [4, 16]);
  assert.deepEqual(Array.from(feeds['token_ids']?.data as BigInt64Array).slice(32, 35), [5n, 6n, 0n]);
  assert.deepEqual(feeds['timestep']?.dims, [4]);
  assert.equal(feeds['timestep']?.data[3], 0);
});

test('a slice that the graph does not take is a fault of this slice alone', async () => {
  const tensors = tensorsOf(randomSamples(SIZE, 3, 2), 'F32');
  const ids = (dtype: 'BOOL' | 'I64', data: ArrayBufferView): TensorData => ({ dtype, shape: [2], data });
  const good = { ...tensors, ids: ids('I64', BigInt64Array.of(0n, 1n)) };
  const slices = [
    good,
    tensors,
    { ...good, ids: ids('BOOL', Uint8Array.of(0, 1)) },
    { ...good, timestep: { ...good.timestep, shape: [2, 2], data: new Float32Array(4) } },
    good,
  ].map(asReceived);
  const inputs: ManifestInput[] = [...INPUTS, { name: 'ids', dtype: 'I64', shape: ['batch'] }];
  const layouts = inputs.map(layoutOf);
  const session = { run: async (): Promise<Float32Array> => Float32Array.of(1, 2, 3, 4) };
  const results = await runBatch(slices, { layouts, session }, new BatchMemory());
  const refused = (reason: string): object => ({
    fault: { code: 'internal', detail: `The request could not be put into a batch: ${reason}` },
  });
  assert.deepEqual(results, [
    { scores: [1, 2] },
    refused('the request has no tensor ids'),
    refused('ids must be I64'),
    refused("the tensor timestep does not have the probe's shape"),
    { scores: [3, 4] },
  ]);
});

test('the shipped probe gives the same scores with the padding', async (t) => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const folder = path.join('models', 'pictogram', '2');
  const { inputs, output } = parseManifest(readFileSync(path.join(folder, 'probe.json'), 'utf8'));
  const model = readFileSync(path.join(folder, 'model.onnx'));
  const session = await openSession({ model, inputs, output }, { device: 'cpu', intraOpThreads: 1 });
  t.after(() => session.release());
  const samples = randomSamples({ layers: 9, height: 8, width: 8 }, 13, 3);
  const slices = [asReceived(tensorsOf(samples, 'F16'))];
  const layouts = inputs.map(layoutOf);
  const [plain] = await runBatch(slices, { layouts, session }, new BatchMemory());
  const [withPadding] = await runBatch(slices, { layouts, session, isPadded: true }, new BatchMemory());
  assert.ok(plain && 'scores' in plain && withPadding && 'scores' in withPadding);
  assert.equal(withPadding.scores.length, 3);
  // The rounding of half precision depends on the shape.
  for (const [index, score] of plain.scores.entries())
    assert.ok(
      Math.abs(score - (withPadding.scores[index] ?? NaN)) < 0.01,
      `${score} ${withPadding.scores[index]}`,
    );
});
