/** Owns the proof that the quick check of attention never clears what the exact one faults, and clears what is usual. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { BatchMemory } from '../../../src/engine/worker/batch-memory.js';
import { MAX_MASS, checkAttention } from '../../../src/engine/worker/check.js';
import { f16ToNumber, numberToF16 } from '../../../src/wire/dtype.js';

const ONE = 0x3c00;
const memory = new BatchMemory();

interface Maps {
  readonly maps: number;
  readonly tokens: number;
  readonly area: number;
  /** [maps, tokens, area] as bits. */
  readonly halves: Uint16Array;
}

/** @param byteOffset where the maps are put. */
function quickVerdict({ maps, tokens, area, halves }: Maps, byteOffset = 0): boolean {
  const buffer = memory.reserve(byteOffset + halves.byteLength);
  // What lies before and behind is none of the check's business.
  new Uint8Array(buffer).fill(0xff);
  new Uint8Array(buffer, byteOffset, halves.byteLength).set(new Uint8Array(halves.buffer));
  return memory.isSurelyAttention({ byteOffset, maps, tokens, area });
}

function exactVerdict({ maps, tokens, area, halves }: Maps): boolean {
  const shape = { first: 0, samples: 1, layers: maps, tokens, height: 1, width: area };
  return checkAttention(halves, new Uint8Array(tokens).fill(1), shape) === undefined;
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

/** Mostly small probabilities, subnormal ones among them, and now and then whatever 16 bits can hold. */
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

test('what the quick check clears, the exact one finds without fault', () => {
  fc.assert(
    fc.property(anyMaps, fc.nat({ max: 40 }), (maps, pairs) => {
      if (quickVerdict(maps, pairs * 2)) assert.ok(exactVerdict(maps));
    }),
    { numRuns: 3000 },
  );
});

test('what is well within the bounds is cleared, wherever it lies', () => {
  const thin = extent.chain((size) =>
    fc
      .array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 60 })
      .map((values) => mapsOf(size, (index) => numberToF16((values[index % values.length] ?? 0) / size[1]))),
  );
  fc.assert(
    fc.property(thin, fc.nat({ max: 40 }), (maps, pairs) => {
      assert.ok(quickVerdict(maps, pairs * 2));
    }),
  );
});

test('every half alone is cleared just when it is a probability; the negative zero is left to the exact check', () => {
  for (const area of [4, 5, 7, 16]) {
    const maps = mapsOf([1, 1, area], () => 0);
    for (let bits = 0; bits < 65_536; bits += 1) {
      maps.halves[area - 1] = bits;
      const value = f16ToNumber(bits);
      const expected = value >= 0 && value <= 1 && !Object.is(value, -0);
      if (memoryVerdict(maps) !== expected) assert.fail(`${value} at the end of ${area}`);
    }
  }
});

/** As quickVerdict, but fast enough for all halves. */
function memoryVerdict({ maps, tokens, area, halves }: Maps): boolean {
  new Uint16Array(memory.reserve(halves.byteLength), 0, halves.length).set(halves);
  return memory.isSurelyAttention({ byteOffset: 0, maps, tokens, area });
}

test('a mass is cleared up to the bound and never beyond it, at any position and map', () => {
  const [maps, tokens, area] = [2, 3, 11];
  const step = 2 ** -11;
  for (let position = 0; position < maps * area; position += 1) {
    for (let steps = -4; steps <= 4; steps += 1) {
      // A half and two further values, in steps that halves below one can take: around 1.01 of a mass.
      const rest = Math.round((MAX_MASS - 0.5) / step) + steps;
      const values = [0.5, 0.25, rest * step - 0.25];
      const start = Math.floor(position / area) * tokens * area + (position % area);
      const heavy = mapsOf([maps, tokens, area], (index) => {
        const token = (index - start) / area;
        return Number.isInteger(token) ? numberToF16(values[token] ?? 0) : 0;
      });
      const isExactlyGood = exactVerdict(heavy);
      assert.equal(isExactlyGood, 0.5 + rest * step <= MAX_MASS);
      assert.equal(quickVerdict(heavy), isExactlyGood, `${0.5 + rest * step} at ${position}`);
    }
  }
});

test('many tokens whose smallest slices would be lost in rounding are never cleared beyond the bound', () => {
  const tokens = 20_000;
  // The first takes nearly all; each of the others is lost when added to it as float32 one by one.
  const tiny = 1;
  const maps = mapsOf([1, tokens, 4], (index) => (index < 4 ? ONE : index < 8 ? numberToF16(0.0098) : tiny));
  assert.equal(exactVerdict(maps), false);
  assert.equal(quickVerdict(maps), false);
});

test('maps too small for the kernel are left to the exact check', () => {
  assert.equal(quickVerdict(mapsOf([1, 1, 3], () => 0)), false);
});
