/** The plans that the page offers: the probe's own, written-out ones, or whole images without a probe. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ServedProbe } from '../../../demo/drawing/find-probe.js';
import { nearestChoice, planChoices } from '../../../demo/page/plan-choices.js';

const TOTAL_STEPS = 25;
const NONE = { value: null, low: null, high: null };
const EXPECTED = { quality: NONE, best_of_k: NONE, gain: NONE, gap_closed: NONE, best_of_k_gap_closed: NONE };

function probeWith(contract: Partial<ServedProbe['contract']>): ServedProbe {
  return {
    url: '',
    reference: 'pictogram@1',
    contract: { plans: [], ...contract } as ServedProbe['contract'],
  };
}

test('the plans of the probe come in ascending order of their cost', () => {
  const plans = [
    { budget: 3, seeds: 8, keep: { 1: 7, 5: 2 }, expected: EXPECTED },
    { budget: 2, seeds: 5, keep: { 5: 1 }, expected: EXPECTED },
  ];
  const choices = planChoices(probeWith({ plans }), TOTAL_STEPS);
  assert.deepEqual(
    choices.map(({ calls }) => calls),
    [5 * 5 + 20, 8 + 7 * 4 + 2 * 20],
  );
  assert.deepEqual(choices[1]?.plan, plans[0]);
});

test('a probe without plans gets plans with one question at its usual step, or one in the middle', () => {
  for (const [steps, asked] of [
    [[1, 3, 5, 10], '5'],
    [[2, 4, 8], '4'],
  ] as const) {
    const probe = probeWith({ decision_points: steps.map((step) => ({ step })) });
    const choices = planChoices(probe, TOTAL_STEPS);
    assert.ok(choices.length > 1);
    for (const { plan } of choices) assert.deepEqual(Object.keys(plan.keep), [asked]);
  }
});

test('without a probe, a budget is spent on whole images', () => {
  for (const { budget, calls, plan } of planChoices(undefined, TOTAL_STEPS)) {
    assert.deepEqual([plan.keep, budget], [{}, plan.seeds]);
    assert.equal(calls, plan.seeds * TOTAL_STEPS);
  }
});

test('a wish takes the nearest plan, and nothing when there is none', () => {
  const choices = planChoices(undefined, TOTAL_STEPS);
  assert.equal(nearestChoice(choices, 3.2)?.budget, 3);
  assert.equal(nearestChoice(choices, 3.5)?.budget, 3, 'the cheaper one of two');
  assert.equal(nearestChoice(choices, 100), choices.at(-1));
  assert.equal(nearestChoice([], 3), undefined);
});
