/** Tests conversions of 16-bit floats: every bit pattern, and the fast conversions against the plain ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { F16_VALUES, bf16ToF32, f16ToF32, f16ToNumber, f32ToF16 } from '../../src/wire/float-convert.js';
import { bf16ToNumber, numberToBf16, numberToF16 } from '../support/floats.js';

const ALL_16_BITS = 65_536;
const ALL_BITS = Uint16Array.from({ length: ALL_16_BITS }, (_, bits) => bits);

test('every half-precision number converts to its value and back', () => {
  for (let bits = 0; bits < ALL_16_BITS; bits += 1) {
    const value = f16ToNumber(bits);
    if (Number.isNaN(value)) continue;
    assert.equal(numberToF16(value), bits);
  }
});

test('every bfloat16 number converts to its value and back', () => {
  for (let bits = 0; bits < ALL_16_BITS; bits += 1) {
    const value = bf16ToNumber(bits);
    if (Number.isNaN(value)) continue;
    assert.equal(numberToBf16(value), bits);
  }
});

test('known values are converted correctly', () => {
  assert.equal(f16ToNumber(0x3c00), 1);
  assert.equal(f16ToNumber(0x0001), 2 ** -24);
  assert.equal(f16ToNumber(0xfbff), -65_504);
  assert.equal(f16ToNumber(0x7c00), Infinity);
  assert.equal(numberToF16(65_520), 0x7c00);
  assert.equal(numberToF16(65_519), 0x7bff);
  assert.equal(bf16ToNumber(0x3f80), 1);
  assert.ok(Number.isNaN(f16ToNumber(numberToF16(NaN))));
  assert.ok(Number.isNaN(bf16ToNumber(numberToBf16(NaN))));
});

test('a value is rounded to the nearer of its two neighbours', () => {
  fc.assert(
    fc.property(fc.double({ min: -65_000, max: 65_000, noNaN: true }), (value) => {
      const bits = numberToF16(value);
      const distance = Math.abs(f16ToNumber(bits) - value);
      for (const other of [bits - 1, bits + 1]) {
        const neighbour = f16ToNumber(other & 0xffff);
        if (Number.isFinite(neighbour)) assert.ok(distance <= Math.abs(neighbour - value));
      }
    }),
  );
});

test('every half widens to its value', () => {
  assert.deepEqual([...f16ToF32(ALL_BITS)], Array.from(ALL_BITS, f16ToNumber));
  assert.equal(F16_VALUES[0x3c00], 1);
});

test('every bfloat16 widens to its value', () => {
  // As lists: typed arrays are compared by their bytes, and NaN has many representations.
  assert.deepEqual([...bf16ToF32(ALL_BITS)], Array.from(ALL_BITS, bf16ToNumber));
});

test('every half converts to float32 and back', () => {
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

test('a value too large for a half becomes infinite, so that checks find it', () => {
  const halves = [...f32ToF16(Float32Array.of(65_519, 65_520, -1e30, Infinity))];
  assert.deepEqual(halves, [0x7bff, 0x7c00, 0xfc00, 0x7c00]);
});
