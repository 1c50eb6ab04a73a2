/** A plan is written out, or is the one that a probe has for a budget. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UsageError } from '../../src/terminal/command-line.js';
import type { ServedProbe } from '../../demo/drawing/find-probe.js';
import { choosePlan, planText } from '../../demo/plan.js';

const NONE = { value: null, low: null, high: null };
const EXPECTED = { quality: NONE, best_of_k: NONE, gain: NONE, gap_closed: NONE, best_of_k_gap_closed: NONE };
const PLAN = { budget: 3, seeds: 8, keep: { 1: 7, 5: 2 }, expected: EXPECTED };

function probe(plans: ServedProbe['contract']['plans']): ServedProbe {
  return {
    url: '',
    reference: 'pictogram@2',
    contract: {
      backbone: 'pictogram',
      capture: { layers: [] },
      capture_id: '',
      inputs: [],
      decision_points: [{ step: 1 }, { step: 5 }],
      plans,
    },
  };
}

function refuses(choose: () => unknown, message: RegExp): void {
  assert.throws(choose, (error: Error) => error instanceof UsageError && message.test(error.message));
}

test('a budget takes the plan that the probe has for it', () => {
  assert.deepEqual(choosePlan({ budget: 3 }, probe([{ ...PLAN, budget: 2, seeds: 6 }, PLAN])), PLAN);
});

test('a budget that the probe has no plan for is refused', () => {
  refuses(
    () => choosePlan({ budget: 4 }, probe([PLAN])),
    /--budget 4: .* pictogram@2 has plans for the budgets 3$/,
  );
  refuses(
    () => choosePlan({ budget: 4 }, probe([])),
    /pictogram@2 has no plans: write one out with --seeds and --keep$/,
  );
});

test('a plan that is written out needs decision points at its steps', () => {
  const plan = { seeds: 8, keep: { 5: 2 } };
  assert.deepEqual(choosePlan(plan, probe([])), plan);
  refuses(() => choosePlan({ seeds: 8, keep: { 1: 4, 7: 2 } }, probe([])), /step 7: .* knows steps 1, 5$/);
});

test('without a probe, a budget is spent on whole images, and a plan is drawn as it is', () => {
  assert.deepEqual(choosePlan({ budget: 2.5 }, undefined), { seeds: 2, keep: {} });
  assert.deepEqual(choosePlan({ seeds: 8, keep: { 7: 2 } }, undefined), { seeds: 8, keep: { 7: 2 } });
});

test('a plan in words, with what the probe expects of it', () => {
  assert.equal(planText({ seeds: 3, keep: {} }), 'start 3, finish 3');
  assert.equal(planText(PLAN), 'start 8, keep 7 after step 1, keep 2 after step 5, finish 2');
  const expected = { ...EXPECTED, quality: { ...NONE, value: 0.71 }, best_of_k: { ...NONE, value: 0.6512 } };
  assert.match(planText({ ...PLAN, expected }), /finish 2; expected quality 0\.710, of best-of-k 0\.651$/);
});
