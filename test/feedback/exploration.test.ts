/** Exploration draws are uniform, the same for a sample at every step and replica, and others for another policy or probe. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { KeyRing } from '../../src/feedback/keys.js';
import { drawExploration, experimentOf, groupTagger, partsOfTag } from '../../src/feedback/exploration.js';

const ringOf = (fill: number) => new KeyRing([{ id: `k${fill}`, secret: Buffer.alloc(32, fill) }]);
const ring = ringOf(1);
const name = fc.string({ minLength: 1, maxLength: 20 });

test('a sample has the same draw with the same keys, and another with other keys', () => {
  fc.assert(
    fc.property(fc.option(name, { nil: undefined }), name, (group, id) => {
      assert.deepEqual(drawExploration(ringOf(1), 'e', group, id), drawExploration(ring, 'e', group, id));
      assert.notEqual(
        drawExploration(ringOf(2), 'e', group, id).draw,
        drawExploration(ring, 'e', group, id).draw,
      );
    }),
  );
});

test('different samples have different tags, and group and id are not simply joined', () => {
  const group = fc.option(name, { nil: undefined });
  fc.assert(
    fc.property(group, name, group, name, (oneGroup, oneId, otherGroup, otherId) => {
      fc.pre(oneGroup !== otherGroup || oneId !== otherId);
      assert.notEqual(
        drawExploration(ring, 'e', oneGroup, oneId).sampleTag,
        drawExploration(ring, 'e', otherGroup, otherId).sampleTag,
      );
    }),
  );
  assert.notEqual(
    drawExploration(ring, 'e', 'ab', 'c').sampleTag,
    drawExploration(ring, 'e', 'a', 'bc').sampleTag,
  );
});

test('a sample without an id gets a new draw each time, and no tag', () => {
  const draws = [1, 2].map(() => drawExploration(ring, 'e', 'group', undefined));
  assert.notEqual(draws[0]?.draw, draws[1]?.draw);
  assert.ok(draws.every(({ sampleTag }) => sampleTag === null));
});

for (const [what, drawAt] of [
  ['with ids', (index: number) => drawExploration(ring, 'e', 'group', `sample ${index}`)],
  ['without ids', () => drawExploration(ring, 'e', undefined, undefined)],
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

test('another policy or probe explores other samples, independently', () => {
  const policy = { name: 'threshold', value: 0.5, explore: { rate: 0.5 } } as const;
  const probe = { name: 'tiny', version: 1 };
  const experiments = [
    experimentOf(policy, probe),
    experimentOf({ ...policy, value: 0.4 }, probe),
    experimentOf(policy, { ...probe, version: 2 }),
    experimentOf(policy, { ...probe, name: 'other' }),
  ];
  assert.equal(new Set(experiments).size, experiments.length);
  assert.equal(experimentOf({ ...policy, explore: { rate: 0.5 } }, { ...probe }), experiments[0]);
  const count = 4000;
  const explored = experiments.map((experiment) =>
    Array.from(
      { length: count },
      (_, index) => drawExploration(ring, experiment, 'g', `s${index}`).draw < 0.5,
    ),
  );
  for (const other of explored.slice(1)) {
    const both = other.filter((isExplored, index) => isExplored && explored[0]?.[index]).length / count;
    assert.ok(Math.abs(both - 0.25) < 5 * Math.sqrt((0.25 * 0.75) / count), `${both} in both`);
  }
});

test('a tag names the sample by the same pseudonym under every policy', () => {
  const tagOf = (experiment: string) =>
    partsOfTag(drawExploration(ring, experiment, 'g', 'id').sampleTag ?? assert.fail());
  assert.equal(tagOf('one').pseudonym, tagOf('two').pseudonym);
  assert.deepEqual([tagOf('one').experiment, tagOf('two').experiment], ['one', 'two']);
  assert.deepEqual(partsOfTag('of-an-earlier-version'), {
    pseudonym: 'of-an-earlier-version',
    experiment: '',
    group: null,
  });
});

test('a tag names the group by a pseudonym that depends on the keys, and the rest of the tag stays the same', () => {
  const tag = drawExploration(ring, 'e', 'g', 'id').sampleTag ?? assert.fail();
  const groupOf = (keys: KeyRing, group: string | undefined) =>
    partsOfTag(groupTagger(keys, group)(tag)).group;
  assert.equal(groupOf(ring, undefined), null);
  assert.match(groupOf(ring, 'g') ?? '', /^[A-Za-z0-9_-]{12}$/);
  assert.equal(groupOf(ringOf(1), 'g'), groupOf(ringOf(1), 'g'));
  assert.notEqual(groupOf(ringOf(1), 'g'), groupOf(ringOf(2), 'g'));
  assert.notEqual(groupOf(ring, 'g'), groupOf(ring, 'h'));
  const { pseudonym, experiment } = partsOfTag(groupTagger(ring, 'g')(tag));
  assert.deepEqual(partsOfTag(tag), { pseudonym, experiment, group: null });
});
