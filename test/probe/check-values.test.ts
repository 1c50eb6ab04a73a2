/** The value checks find what a simple reference implementation finds, and name the place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import {
  type AttentionShape,
  MAX_MASS,
  checkAttention,
  checkMask,
  checkFinite,
} from '../../src/probe/check-values.js';
import type { ManifestInput } from '../../src/probe/manifest.js';
import { f16ToF32, f16ToNumber } from '../../src/wire/float-convert.js';
import { numberToF16 } from '../support/floats.js';

const SHAPE: AttentionShape = { first: 0, samples: 2, layers: 2, tokens: 3, height: 1, width: 2 };
const VALUES = SHAPE.samples * SHAPE.layers * SHAPE.tokens * SHAPE.height * SHAPE.width;
const ALL_REAL = new Uint8Array(SHAPE.samples * SHAPE.tokens).fill(1);

/** Probabilities, values close to the bounds, and invalid values. */
const element = fc.oneof(
  { weight: 30, arbitrary: fc.float({ min: 0, max: Math.fround(0.34), noNaN: true }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, -0, 1, Math.fround(1.0009765625), -6e-8, NaN, Infinity, -Infinity, 2),
  },
);
const attention = fc.array(element, { minLength: VALUES, maxLength: VALUES });
const mask = fc.uint8Array({ minLength: ALL_REAL.length, maxLength: ALL_REAL.length, max: 1 });

/** The code of the first fault, by sample, layer and token. */
function expectedCode(values: readonly number[], kept: Uint8Array): string | undefined {
  const { samples, layers, tokens, width } = SHAPE;
  for (let map = 0; map < samples * layers; map += 1) {
    const sample = Math.floor(map / layers);
    const sums = Array.from({ length: width }, () => 0);
    for (let token = 0; token < tokens; token += 1) {
      if (kept[sample * tokens + token] === 0) continue;
      for (let x = 0; x < width; x += 1) {
        const value = values[(map * tokens + token) * width + x] ?? NaN;
        if (!Number.isFinite(value)) return 'attention_not_finite';
        if (value < 0 || value > 1) return 'attention_out_of_range';
        sums[x] = (sums[x] ?? 0) + value;
      }
    }
    if (sums.some((sum) => sum > MAX_MASS)) return 'attention_mass';
  }
  return undefined;
}

test('F32 attention gets the expected code', () => {
  fc.assert(
    fc.property(attention, mask, (values, kept) => {
      const fault = checkAttention(Float32Array.from(values), kept, SHAPE);
      assert.equal(fault?.code, expectedCode(values, kept));
    }),
    { numRuns: 2000 },
  );
});

test('F16 attention gets the expected code', () => {
  fc.assert(
    fc.property(attention, mask, (values, kept) => {
      const bits = Uint16Array.from(values, numberToF16);
      const fault = checkAttention(f16ToF32(bits), kept, SHAPE);
      assert.equal(fault?.code, expectedCode(Array.from(bits, f16ToNumber), kept));
    }),
    { numRuns: 2000 },
  );
});

test('of all F16 values exactly the probabilities are accepted', () => {
  const shape = { first: 0, samples: 1, layers: 1, tokens: 1, height: 1, width: 1 };
  for (let bits = 0; bits < 65_536; bits += 1) {
    const value = f16ToNumber(bits);
    const fault = checkAttention(f16ToF32(Uint16Array.of(bits)), Uint8Array.of(1), shape);
    assert.equal(fault === undefined, value >= 0 && value <= 1, `${value}`);
  }
});

test('a value outside [0, 1] is reported with its place', () => {
  const values = new Float32Array(VALUES);
  // Sample 1, layer 0, token 2, column 1.
  values[((1 * 2 + 0) * 3 + 2) * 2 + 1] = -0.5;
  assert.deepEqual(checkAttention(values, ALL_REAL, { ...SHAPE, first: 10 }), {
    code: 'attention_out_of_range',
    detail: 'The attention of sample 11, layer 0, token 2 is -0.5 at row 0, column 1.',
    field: 'attention',
    received: -0.5,
    expected: 'a probability in [0, 1]',
  });
});

test('attention that sums to more than one is reported with its place and sum', () => {
  const values = new Float32Array(VALUES);
  values[0] = 0.75;
  values[2] = 0.5;
  assert.deepEqual(checkAttention(values, ALL_REAL, SHAPE), {
    code: 'attention_mass',
    detail: 'The attention of sample 0, layer 0 sums to 1.25 over its tokens at row 0, column 0.',
    field: 'attention',
    received: 1.25,
    expected: 'at most 1.01',
  });
});

test('a sum just within the allowance is accepted', () => {
  const values = new Float32Array(VALUES);
  values[0] = 0.51;
  values[2] = 0.4999;
  assert.equal(checkAttention(values, ALL_REAL, SHAPE), undefined);
});

test('a mask holds only 0 and 1 and at least one real token per sample', () => {
  assert.equal(checkMask(Uint8Array.of(1, 0, 0, 1), 2, 0), undefined);
  assert.deepEqual(checkMask(Uint8Array.of(1, 0, 1, 2), 2, 4), {
    code: 'invalid_token_mask',
    detail: 'The token_mask of sample 5 is 2 at token 1.',
    field: 'token_mask',
    received: 2,
    expected: '0 or 1',
  });
  assert.match(
    checkMask(Uint8Array.of(1, 0, 0, 0), 2, 0)?.detail ?? '',
    /sample 1 masks all of its 2 tokens/,
  );
});

test('the first value that is not finite is found among the unmasked values of each dtype', () => {
  const input: ManifestInput = { name: 'embedding', dtype: 'F16', shape: ['batch', 'tokens', 2] };
  const sizes = { first: 3, samples: 2, tokens: 1 };
  const found = (values: Float32Array | Uint16Array, unmasked = Uint8Array.of(1, 1)): unknown[] => {
    const { detail, received } = checkFinite(values, unmasked, input, sizes) ?? {};
    return [/sample \d/.exec(detail ?? '')?.[0], received];
  };
  assert.deepEqual(found(Float32Array.of(1, 2, 3, Infinity)), ['sample 4', 'Infinity']);
  assert.deepEqual(found(Float32Array.of(NaN, 1, Infinity, 2)), ['sample 3', 'NaN']);
  assert.deepEqual(found(Float32Array.of(NaN, 1, 2, 3), Uint8Array.of(0, 1)), [undefined, undefined]);
  // From 65,520 on, values round to infinity as F16.
  assert.deepEqual(found(Float32Array.of(0, -65_519, 65_520, 0)), ['sample 4', 65_520]);
  const halves = Uint16Array.from([1, -65_504, -Infinity, NaN], numberToF16);
  assert.deepEqual(found(halves), ['sample 4', '-Infinity']);
  assert.deepEqual(found(halves, Uint8Array.of(1, 0)), [undefined, undefined]);
});
