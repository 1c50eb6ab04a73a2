/** The kernel's fast check of attention never clears what the exact check rejects, and clears ordinary batches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { BatchMemory } from '../../../src/engine/worker/batch-memory.js';
import { MAX_MASS, checkAttention } from '../../../src/probe/check-values.js';
import { f16ToF32, f16ToNumber } from '../../../src/wire/float-convert.js';
import { numberToF16 } from '../../support/floats.js';

const ONE = 0x3c00;
const memory = new BatchMemory();

interface Maps {
  readonly maps: number;
  readonly tokens: number;
  readonly area: number;
  /** [maps, tokens, area] as bits. */
  readonly halves: Uint16Array;
}

/** @param byteOffset where the maps are placed in the memory. */
function isCleared({ maps, tokens, area, halves }: Maps, byteOffset = 0): boolean {
  const buffer = memory.reserve(byteOffset + halves.byteLength);
  // The check must not read the bytes before and after the maps.
  new Uint8Array(buffer).fill(0xff);
  new Uint8Array(buffer, byteOffset, halves.byteLength).set(new Uint8Array(halves.buffer));
  return memory.isSurelyAttention(byteOffset, [1, maps, tokens, 1, area]);
}

function isExactlyGood({ maps, tokens, area, halves }: Maps): boolean {
  const shape = { first: 0, samples: 1, layers: maps, tokens, height: 1, width: area };
  return checkAttention(f16ToF32(halves), new Uint8Array(tokens).fill(1), shape) === undefined;
}

function mapsOf(
  [maps, tokens, area]: readonly [number, number, number],
  bitsAt: (index: number) => number,
): Maps {
  return {
    maps,
    tokens,
    area,
    halves: Uint16Array.from({ length: maps * tokens * area }, (_, i) => bitsAt(i)),
  };
}

const extent = fc.tuple(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 6 }),
  fc.integer({ min: 4, max: 19 }),
);

/** Mostly small probabilities, also subnormal ones, and sometimes any 16 bits. */
const half = fc.oneof(
  { weight: 60, arbitrary: fc.integer({ min: 0, max: 0x3000 }) },
  { weight: 10, arbitrary: fc.integer({ min: 0, max: 0x3ff }) },
  { weight: 1, arbitrary: fc.constantFrom(0x8000, 0x8001, 0x7c00, 0xfc00, 0x7e00, ONE, ONE + 1) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
);

const anyMaps = extent.chain((size) => {
  const length = size[0] * size[1] * size[2];
  return fc
    .array(half, { minLength: length, maxLength: length })
    .map((bits) => mapsOf(size, (index) => bits[index] ?? 0));
});

test('the exact check finds no fault in what the fast one clears', () => {
  fc.assert(
    fc.property(anyMaps, fc.nat({ max: 40 }), (maps, pairs) => {
      if (isCleared(maps, pairs * 2)) assert.ok(isExactlyGood(maps));
    }),
    { numRuns: 3000 },
  );
});

test('maps well within the bounds are cleared at any offset', () => {
  const thin = extent.chain((size) =>
    fc
      .array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 60 })
      .map((values) => mapsOf(size, (index) => numberToF16((values[index % values.length] ?? 0) / size[1]))),
  );
  fc.assert(
    fc.property(thin, fc.nat({ max: 40 }), (maps, pairs) => {
      assert.ok(isCleared(maps, pairs * 2));
    }),
  );
});

test('of all F16 values exactly the probabilities are cleared, except -0, which the exact check decides', () => {
  for (const area of [4, 5, 7, 16]) {
    const maps = mapsOf([1, 1, area], () => 0);
    for (let bits = 0; bits < 65_536; bits += 1) {
      maps.halves[area - 1] = bits;
      const value = f16ToNumber(bits);
      const expected = value >= 0 && value <= 1 && !Object.is(value, -0);
      if (isClearedFast(maps) !== expected) assert.fail(`${value} at the end of ${area}`);
    }
  }
});

/** As isCleared, but fast enough for all F16 values. */
function isClearedFast({ maps, tokens, area, halves }: Maps): boolean {
  new Uint16Array(memory.reserve(halves.byteLength), 0, halves.length).set(halves);
  return memory.isSurelyAttention(0, [1, maps, tokens, 1, area]);
}

test('a sum is cleared up to the bound and never above it, at any position of any map', () => {
  const [maps, tokens, area] = [2, 3, 11];
  const step = 2 ** -11;
  for (let position = 0; position < maps * area; position += 1) {
    for (let steps = -4; steps <= 4; steps += 1) {
      // 0.5 and two further values, in steps that F16 can represent below 1: a sum around 1.01.
      const rest = Math.round((MAX_MASS - 0.5) / step) + steps;
      const values = [0.5, 0.25, rest * step - 0.25];
      const start = Math.floor(position / area) * tokens * area + (position % area);
      const heavy = mapsOf([maps, tokens, area], (index) => {
        const token = (index - start) / area;
        return Number.isInteger(token) ? numberToF16(values[token] ?? 0) : 0;
      });
      const isGood = isExactlyGood(heavy);
      assert.equal(isGood, 0.5 + rest * step <= MAX_MASS);
      assert.equal(isCleared(heavy), isGood, `${0.5 + rest * step} at ${position}`);
    }
  }
});

test('a sum above the bound is not cleared when float32 rounding would lose its small addends', () => {
  const tokens = 20_000;
  // The first two tokens take nearly all; each of the others is lost when it is added to their sum as float32.
  const tiny = 1;
  const maps = mapsOf([1, tokens, 4], (index) => (index < 4 ? ONE : index < 8 ? numberToF16(0.0098) : tiny));
  assert.equal(isExactlyGood(maps), false);
  assert.equal(isCleared(maps), false);
});

test('maps too small for the kernel are not cleared', () => {
  assert.equal(isCleared(mapsOf([1, 1, 3], () => 0)), false);
});
