/** Exploration draws are uniform, and the same for a sample at every step and replica. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { KeyRing } from '../../src/feedback/keys.js';
import { drawExploration } from '../../src/feedback/exploration.js';

const ringOf = (fill: number) => new KeyRing([{ id: `k${fill}`, secret: Buffer.alloc(32, fill) }]);
const ring = ringOf(1);
const name = fc.string({ minLength: 1, maxLength: 20 });

test('a sample has the same draw with the same keys, and another with other keys', () => {
  fc.assert(
    fc.property(fc.option(name, { nil: undefined }), name, (group, id) => {
      assert.deepEqual(drawExploration(ringOf(1), group, id), drawExploration(ring, group, id));
      assert.notEqual(drawExploration(ringOf(2), group, id).draw, drawExploration(ring, group, id).draw);
    }),
  );
});

test('different samples have different tags, and group and id are not simply joined', () => {
  const group = fc.option(name, { nil: undefined });
  fc.assert(
    fc.property(group, name, group, name, (oneGroup, oneId, otherGroup, otherId) => {
      fc.pre(oneGroup !== otherGroup || oneId !== otherId);
      assert.notEqual(
        drawExploration(ring, oneGroup, oneId).sampleTag,
        drawExploration(ring, otherGroup, otherId).sampleTag,
      );
    }),
  );
  assert.notEqual(drawExploration(ring, 'ab', 'c').sampleTag, drawExploration(ring, 'a', 'bc').sampleTag);
});

test('a sample without an id gets a new draw each time, and no tag', () => {
  const draws = [1, 2].map(() => drawExploration(ring, 'group', undefined));
  assert.notEqual(draws[0]?.draw, draws[1]?.draw);
  assert.ok(draws.every(({ sampleTag }) => sampleTag === null));
});

for (const [what, drawAt] of [
  ['with ids', (index: number) => drawExploration(ring, 'group', `sample ${index}`)],
  ['without ids', () => drawExploration(ring, undefined, undefined)],
] as const) {
  test(`draws are uniform ${what}`, () => {
    const count = 20_000;
    const draws = Array.from({ length: count }, (_, index) => drawAt(index).draw);
    assert.ok(draws.every((draw) => draw >= 0 && draw < 1));
    for (const rate of [0.02, 0.1, 0.5, 0.9]) {
      const share = draws.filter((draw) => draw < rate).length / count;
      const error = Math.sqrt((rate * (1 - rate)) / count);
      assert.ok(Math.abs(share - rate) < 5 * error, `${share} at ${rate}`);
    }
  });
}
