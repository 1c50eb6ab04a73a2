/** Owns the proof that a request whose form does not fit the probe is refused, naming what is wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ErrorCode, ProblemError } from '../../src/errors.js';
import { checkCapture, checkTensors } from '../../src/probe/check-request.js';
import type { TensorData } from '../../clients/typescript/src/safetensors.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { decodedBody, randomSamples, tensorsOf } from '../support/samples.js';
import { testManifest } from '../support/app.js';

const MAX_SAMPLES = 4;
const manifest = testManifest();
const valid = tensorsOf(randomSamples(TINY_SIZE, 3, 2));

function check(tensors: Readonly<Record<string, TensorData>>) {
  return checkTensors(decodedBody(tensors), manifest, MAX_SAMPLES);
}

function refused(
  tensors: Readonly<Record<string, TensorData>>,
  code: ErrorCode,
  field: string,
): ProblemError {
  try {
    check(tensors);
  } catch (error) {
    assert.ok(error instanceof ProblemError, String(error));
    assert.deepEqual([error.code, error.field], [code, field]);
    assert.notEqual(error.expected, undefined);
    return error;
  }
  return assert.fail('it was accepted');
}

test('a request that fits tells its samples and timesteps', () => {
  assert.deepEqual(check(valid), { samples: 2, timesteps: [778.7, 778.7].map(Math.fround) });
});

test('attention may come as F16, BF16 or F32', () => {
  for (const dtype of ['F16', 'BF16', 'F32'] as const) {
    assert.equal(check(tensorsOf(randomSamples(TINY_SIZE, 3, 1), dtype)).samples, 1);
  }
});

test('refused: a tensor that the probe does not take', () => {
  refused(
    { ...valid, extra: { dtype: 'U8', shape: [1], data: new Uint8Array(1) } },
    'unknown_tensor',
    'extra',
  );
});

test('refused: a missing tensor', () => {
  const { attention, timestep } = valid;
  refused({ attention, timestep }, 'missing_tensor', 'token_mask');
});

test('refused: an element type that cannot be converted', () => {
  const halves = { dtype: 'F16', shape: [2], data: new Uint16Array(2) } as const;
  assert.equal(refused({ ...valid, timestep: halves }, 'wrong_dtype', 'timestep').expected, 'F32');
  const mask = { dtype: 'I64', shape: [2, 3], data: new BigInt64Array(6) } as const;
  assert.equal(refused({ ...valid, token_mask: mask }, 'wrong_dtype', 'token_mask').expected, 'U8');
});

test('refused: a foreign layer count, naming the whole shape', () => {
  const foreign = tensorsOf(randomSamples({ ...TINY_SIZE, layers: 3 }, 3, 2));
  const { received, expected } = refused(foreign, 'wrong_shape', 'attention');
  assert.deepEqual(received, [2, 3, 3, 4, 4]);
  assert.deepEqual(expected, [2, 2, 'tokens', 4, 4]);
});

test('refused: tensors that disagree about batch or tokens', () => {
  const mask = { dtype: 'U8', shape: [2, 4], data: new Uint8Array(8) } as const;
  refused({ ...valid, token_mask: mask }, 'wrong_shape', 'token_mask');
  const timestep = { dtype: 'F32', shape: [3], data: new Float32Array(3) } as const;
  refused({ ...valid, timestep }, 'wrong_shape', 'timestep');
  const flat = { dtype: 'F32', shape: [2, 1], data: new Float32Array(2) } as const;
  refused({ ...valid, timestep: flat }, 'wrong_shape', 'timestep');
});

test('refused: no sample, too many samples, no token', () => {
  const empty = (shape: number[]): TensorData => ({ dtype: 'F16', shape, data: new Uint8Array(0) });
  const none: TensorData = { dtype: 'U8', shape: [0, 3], data: new Uint8Array(0) };
  const noTime: TensorData = { dtype: 'F32', shape: [0], data: new Uint8Array(0) };
  refused(
    { attention: empty([0, 2, 3, 4, 4]), token_mask: none, timestep: noTime },
    'empty_batch',
    'attention',
  );
  refused(tensorsOf(randomSamples(TINY_SIZE, 3, 5)), 'too_many_samples', 'attention');
  const noToken: TensorData = { dtype: 'U8', shape: [2, 0], data: new Uint8Array(0) };
  refused({ ...valid, attention: empty([2, 2, 0, 4, 4]), token_mask: noToken }, 'wrong_shape', 'attention');
});

test('a foreign capture is refused, none given is taken', () => {
  checkCapture(undefined, manifest);
  checkCapture(manifest.capture_id, manifest);
  assert.throws(
    () => checkCapture('0123456789abcdef', manifest),
    (error) =>
      error instanceof ProblemError &&
      error.code === 'foreign_capture' &&
      error.expected === manifest.capture_id,
  );
});
