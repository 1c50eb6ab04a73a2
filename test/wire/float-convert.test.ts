/** Owns the proof that the fast conversions agree with the plain ones, for every half there is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { F16_VALUES, bf16ToF32, f16ToF32, f32ToF16 } from '../../src/wire/float-convert.js';
import { bf16ToNumber, f16ToNumber, numberToF16 } from '../../src/wire/dtype.js';

const ALL_BITS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

test('every half widens to its value', () => {
  assert.deepEqual([...f16ToF32(ALL_BITS)], Array.from(ALL_BITS, f16ToNumber));
  assert.equal(F16_VALUES[0x3c00], 1);
});

test('every bfloat16 widens to its value', () => {
  // As lists: typed arrays are compared by their bytes, and NaN has many.
  assert.deepEqual([...bf16ToF32(ALL_BITS)], Array.from(ALL_BITS, bf16ToNumber));
});

test('every half survives the way to float32 and back', () => {
  for (const [bits, back] of f32ToF16(f16ToF32(ALL_BITS)).entries()) {
    if (Number.isNaN(f16ToNumber(bits))) assert.ok(Number.isNaN(f16ToNumber(back)));
    else assert.equal(back, bits);
  }
});

test('float32 rounds to the nearest half as the plain conversion does', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true }), (value) => {
      assert.equal(f32ToF16(Float32Array.of(value))[0], numberToF16(value), `${value}`);
    }),
    { numRuns: 5000 },
  );
});

test('values halfway between two halves round to the even one', () => {
  for (let bits = 0; bits < 0x7bff; bits += 1) {
    const middle = (f16ToNumber(bits) + f16ToNumber(bits + 1)) / 2;
    assert.equal(f32ToF16(Float32Array.of(middle))[0], bits % 2 === 0 ? bits : bits + 1);
  }
});

test('what is too large for a half becomes infinite, so that it can be told', () => {
  const halves = [...f32ToF16(Float32Array.of(65_519, 65_520, -1e30, Infinity))];
  assert.deepEqual(halves, [0x7bff, 0x7c00, 0xfc00, 0x7c00]);
});
