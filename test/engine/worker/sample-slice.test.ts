/** A slice of a request holds exactly its samples. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sampleCount, sliceOf } from '../../../src/engine/worker/sample-slice.js';
import { decodedBody } from '../../support/samples.js';

const body = decodedBody({
  ids: { dtype: 'I64', shape: [3, 2], data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n) },
  mask: { dtype: 'U8', shape: [3, 1], data: Uint8Array.of(7, 8, 9) },
  timestep: { dtype: 'F32', shape: [3], data: Float32Array.of(10, 11, 12) },
});

test('a slice of the whole body has the same memory and tensors', () => {
  assert.equal(sampleCount(body), 3);
  const { first, samples, bytes, tensors } = sliceOf(body);
  assert.equal(bytes, body.bytes);
  assert.deepEqual({ first, samples, tensors }, { first: 0, samples: 3, tensors: body.tensors });
});

test('a smaller slice is a window into the same memory with its own shapes', () => {
  const slice = sliceOf(body, 1, 2);
  assert.equal(slice.bytes, body.bytes);
  assert.equal(slice.first, 1);
  assert.equal(slice.samples, 2);
  const at = (name: string): [ArrayBufferLike, number] => [
    slice.bytes,
    slice.tensors.get(name)?.byteOffset ?? NaN,
  ];
  assert.deepEqual(new BigInt64Array(...at('ids'), 4), BigInt64Array.of(3n, 4n, 5n, 6n));
  assert.deepEqual(new Uint8Array(...at('mask'), 2), Uint8Array.of(8, 9));
  assert.deepEqual(new Float32Array(...at('timestep'), 2), Float32Array.of(11, 12));
  assert.deepEqual(
    [...slice.tensors.values()].map(({ shape }) => shape[0]),
    [2, 2, 2],
  );
});
