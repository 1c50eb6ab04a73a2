/** Owns the proof that exploration is a fair draw, and the same one at every step and replica. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { KeyRing } from '../../src/feedback/keys.js';
import { drawExploration } from '../../src/feedback/exploration.js';

const ringOf = (fill: number) => new KeyRing([{ id: `k${fill}`, secret: Buffer.alloc(32, fill) }]);
const ring = ringOf(1);
const name = fc.string({ minLength: 1, maxLength: 20 });

test('a sample draws the same lot wherever the keys are the same', () => {
  fc.assert(
    fc.property(fc.option(name, { nil: undefined }), name, (group, id) => {
      assert.deepEqual(drawExploration(ringOf(1), group, id), drawExploration(ring, group, id));
      assert.notEqual(drawExploration(ringOf(2), group, id).draw, drawExploration(ring, group, id).draw);
    }),
  );
});

test('other samples draw other lots, and group and id do not run together', () => {
  const group = fc.option(name, { nil: undefined });
  fc.assert(
    fc.property(group, name, group, name, (oneGroup, oneId, otherGroup, otherId) => {
      fc.pre(oneGroup !== otherGroup || oneId !== otherId);
      assert.notEqual(
        drawExploration(ring, oneGroup, oneId).tag,
        drawExploration(ring, otherGroup, otherId).tag,
      );
    }),
  );
  assert.notEqual(drawExploration(ring, 'ab', 'c').tag, drawExploration(ring, 'a', 'bc').tag);
});

test('a sample without an id draws anew each time, and its receipts belong to no other', () => {
  const lots = [1, 2].map(() => drawExploration(ring, 'group', undefined));
  assert.notEqual(lots[0]?.draw, lots[1]?.draw);
  assert.ok(lots.every(({ tag }) => tag === null));
});

for (const [what, lotAt] of [
  ['with ids', (index: number) => drawExploration(ring, 'group', `sample ${index}`)],
  ['without ids', () => drawExploration(ring, undefined, undefined)],
] as const) {
  test(`lots are uniform ${what}`, () => {
    const count = 20_000;
    const draws = Array.from({ length: count }, (_, index) => lotAt(index).draw);
    assert.ok(draws.every((draw) => draw >= 0 && draw < 1));
    for (const rate of [0.02, 0.1, 0.5, 0.9]) {
      const share = draws.filter((draw) => draw < rate).length / count;
      const error = Math.sqrt((rate * (1 - rate)) / count);
      assert.ok(Math.abs(share - rate) < 5 * error, `${share} at ${rate}`);
    }
  });
}
