/** Owns the proof that 16-bit floats are converted as IEEE 754 says, by trying all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { bf16ToNumber, elementCount, f16ToNumber, numberToBf16, numberToF16 } from '../../src/wire/dtype.js';

const ALL_16_BITS = 65_536;

test('every half-precision number survives the way there and back', () => {
  for (let bits = 0; bits < ALL_16_BITS; bits += 1) {
    const value = f16ToNumber(bits);
    if (Number.isNaN(value)) continue;
    assert.equal(numberToF16(value), bits);
  }
});

test('every bfloat16 number survives the way there and back', () => {
  for (let bits = 0; bits < ALL_16_BITS; bits += 1) {
    const value = bf16ToNumber(bits);
    if (Number.isNaN(value)) continue;
    assert.equal(numberToBf16(value), bits);
  }
});

test('known values are met', () => {
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

test('a value becomes one of its two neighbours, the nearer one', () => {
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

test('the element count of an impossible shape is undefined', () => {
  assert.equal(elementCount([2, 3, 4]), 24);
  assert.equal(elementCount([]), 1);
  assert.equal(elementCount([5, 0]), 0);
  for (const shape of [[-1], [1.5], ['2'], [null], [2 ** 53], [2 ** 30, 2 ** 30], [Infinity]]) {
    assert.equal(elementCount(shape), undefined, JSON.stringify(shape));
  }
});
