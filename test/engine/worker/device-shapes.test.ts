/** Batches for CUDA are padded to a few shapes, and the padding changes no score. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import type { Feeds } from '../../../src/engine/worker/batch-assembly.js';
import { DeviceShapes } from '../../../src/engine/worker/device-shapes.js';
import { openSession } from '../../../src/engine/worker/session.js';
import { f32ToF16 } from '../../../src/wire/float-convert.js';

const MODEL = path.join('models', 'pictogram', '1', 'model.onnx');
/** The rounding of half precision depends on the shape. */
const TOLERANCE = 0.01;

test('samples are padded to a power of two and tokens to a multiple of 16, with zeros', () => {
  const shapes = new DeviceShapes({
    attention: ['batch', 2, 'tokens', 1],
    token_ids: ['batch', 'tokens'],
    timestep: ['batch'],
  });
  const padded = shapes.pad({
    attention: {
      dtype: 'F32',
      dims: [3, 2, 2, 1],
      data: Float32Array.from({ length: 12 }, (_, at) => at + 1),
    },
    token_ids: { dtype: 'I64', dims: [3, 2], data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n) },
    timestep: { dtype: 'F32', dims: [3], data: Float32Array.of(7, 8, 9) },
  });
  const { attention, token_ids: ids, timestep } = padded;
  assert.deepEqual(attention?.dims, [4, 2, 16, 1]);
  const values = Array.from(attention?.data as Float32Array);
  assert.deepEqual(values.slice(0, 3), [1, 2, 0]);
  assert.deepEqual(values.slice(16, 19), [3, 4, 0]);
  assert.deepEqual(values.slice(5 * 16, 5 * 16 + 3), [11, 12, 0]);
  assert.deepEqual(new Set(values.slice(6 * 16)), new Set([0]));
  assert.deepEqual(ids?.dims, [4, 16]);
  assert.deepEqual(Array.from(ids?.data as BigInt64Array).slice(32, 35), [5n, 6n, 0n]);
  assert.deepEqual(Array.from(timestep?.data as Float32Array), [7, 8, 9, 0]);
});

test('a shape is written into the same memory each time, without what was there before', () => {
  const shapes = new DeviceShapes({ timestep: ['batch'] });
  const timestepOf = (...values: number[]): Feeds => ({
    timestep: { dtype: 'F32', dims: [values.length], data: Float32Array.from(values) },
  });
  const first = shapes.pad(timestepOf(1, 2, 3, 4, 5, 6, 7)).timestep;
  const second = shapes.pad(timestepOf(1, 2, 3, 4, 5)).timestep;
  assert.equal(second?.data.buffer, first?.data.buffer);
  assert.deepEqual(Array.from(second?.data as Float32Array), [1, 2, 3, 4, 5, 0, 0, 0]);
  const exact = timestepOf(1, 2, 3, 4);
  assert.equal(shapes.pad(exact).timestep, exact.timestep);
});

test('the shipped probe gives the same scores with the padding', async (t) => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const session = await openSession(readFileSync(MODEL), 'score', { device: 'cpu', intraOpThreads: 1 });
  t.after(() => session.release());
  const [samples, layers, tokens, size] = [3, 9, 13, 16];
  const attention = Float32Array.from(
    { length: samples * layers * tokens * size * size },
    (_, at) => (at % 7) / 100,
  );
  const feeds: Feeds = {
    attention: {
      dtype: 'F16',
      dims: [samples, layers, tokens, size, size],
      data: Uint16Array.from(f32ToF16(attention)),
    },
    token_mask: { dtype: 'U8', dims: [samples, tokens], data: new Uint8Array(samples * tokens).fill(1) },
    timestep: { dtype: 'F32', dims: [samples], data: new Float32Array(samples).fill(800) },
  };
  const axes = Object.fromEntries(session.info.inputs.map(({ name, shape }) => [name, shape]));
  const expected = await session.run(feeds);
  const scores = await session.run(new DeviceShapes(axes).pad(feeds));
  assert.equal(scores.length, 4);
  for (const [index, score] of expected.entries())
    assert.ok(Math.abs(score - (scores[index] ?? NaN)) < TOLERANCE, `${score} ${scores[index]}`);
});
