/** A step becomes the input that the probe's manifest declares: its layers as F16, and its signals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type CaptureSpec, toScoreInput } from '../../../demo/world/capture.js';
import type { Step } from '../../../demo/world/sampler.js';
import { f16ToNumber } from '../../../src/wire/float-convert.js';
import { CAPTION, DESCRIPTION, IMAGE_SIZE } from '../../support/world.js';

const ROWS = 2;
const LAYER_SIZE = 2 * 1 * 2;

const step: Step = {
  step: 5,
  sigma: 0.7786,
  timestep: 778.639,
  attention: Float32Array.from({ length: ROWS * 3 * LAYER_SIZE }, (_, index) => index / 64),
  preview: new Float32Array(ROWS * IMAGE_SIZE).fill(0.3),
  guidanceDifference: Float32Array.of(0.25, 0.5),
};

function specOf(layers: string[], ...signals: CaptureSpec['inputs']): CaptureSpec {
  return { capture: { layers }, inputs: [{ name: 'attention', dtype: 'F16', shape: ['batch'] }, ...signals] };
}

test('all layers are F16, row by row', () => {
  const { attention, timestep } = toScoreInput(
    step,
    CAPTION,
    DESCRIPTION,
    specOf(['first', 'second', 'third']),
  );
  assert.deepEqual(attention.shape, [ROWS, 3, 2, 1, 2]);
  assert.equal(timestep, 778.639);
  const halves = [...(attention.data as Uint16Array)].map(f16ToNumber);
  assert.deepEqual(halves, [...step.attention]);
});

test('some layers are in the order of the probe', () => {
  const { attention } = toScoreInput(step, CAPTION, DESCRIPTION, specOf(['third', 'first']));
  assert.deepEqual(attention.shape, [ROWS, 2, 2, 1, 2]);
  const halves = [...(attention.data as Uint16Array)].map(f16ToNumber);
  assert.deepEqual(
    halves.slice(0, LAYER_SIZE),
    Array.from(step.attention.slice(2 * LAYER_SIZE, 3 * LAYER_SIZE)),
  );
  assert.deepEqual(halves.slice(LAYER_SIZE, 2 * LAYER_SIZE), Array.from(step.attention.slice(0, LAYER_SIZE)));
});

test('the preview has 256 levels, the token ids no begin token', () => {
  const { signals = {} } = toScoreInput(
    step,
    CAPTION,
    DESCRIPTION,
    specOf(
      ['first'],
      { name: 'preview', dtype: 'F16', shape: ['batch', 3, 2, 2] },
      { name: 'token_ids', dtype: 'I64', shape: ['batch', 'tokens'] },
    ),
  );
  const [value] = (signals['preview']?.data ?? []) as Uint16Array;
  const quantized = Math.round(1.3 * 127.5) / 127.5 - 1;
  assert.ok(Math.abs(f16ToNumber(value ?? NaN) - quantized) < 1e-3);
  assert.deepEqual(signals['token_ids']?.shape, [ROWS, 2]);
  assert.deepEqual([...((signals['token_ids']?.data ?? []) as BigInt64Array)], [2n, 4n, 2n, 4n]);
});

test('a missing layer or signal is an error with its name', () => {
  assert.throws(
    () => toScoreInput(step, CAPTION, DESCRIPTION, specOf(['fourth'])),
    /layer fourth; the reference world has first/,
  );
  assert.throws(
    () =>
      toScoreInput(
        step,
        CAPTION,
        DESCRIPTION,
        specOf(['first'], { name: 'depth', dtype: 'F32', shape: ['batch'] }),
      ),
    /signal depth/,
  );
});

test('the guidance difference is one number per row', () => {
  const spec = specOf(['first'], { name: 'guidance_difference', dtype: 'F32', shape: ['batch'] });
  const { signals = {} } = toScoreInput(step, CAPTION, DESCRIPTION, spec);
  assert.deepEqual(signals['guidance_difference'], {
    dtype: 'F32',
    shape: [ROWS],
    data: Float32Array.of(0.25, 0.5),
  });
});
