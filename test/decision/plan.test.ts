/** The policy `plan`: it keeps the best so many of what is alive at the steps of the plan, and all at other steps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { applyPolicy } from '../../src/decision/apply-policy.js';
import { decide } from '../../src/decision/decide.js';
import { type Policy, policySchema } from '../../src/decision/policy.js';
import { PLANS } from '../support/policies.js';

const WRITTEN_OUT: Policy = { name: 'plan', seeds: 8, keep: { 1: 7, 3: 4, 10: 2 } };
const group = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 });

function apply(policy: Policy, scores: readonly number[], step: number, plans = PLANS) {
  return applyPolicy(policy, { scores, step, calibration: undefined, plans });
}

test('at a step of the plan the best so many live on, whatever was alive before', () => {
  fc.assert(
    fc.property(group, fc.constantFrom([1, 7], [3, 4], [10, 2]), (scores, [step = 0, count = 0]) => {
      const results = apply(WRITTEN_OUT, scores, step);
      const kept = scores.filter((_, index) => !results[index]?.wouldDrop);
      const dropped = scores.filter((_, index) => results[index]?.wouldDrop);
      assert.equal(kept.length, Math.min(count, scores.length));
      assert.ok(Math.min(...kept) >= Math.max(...dropped, 0));
      for (const { wouldDrop, reason, threshold } of results)
        assert.deepEqual([reason, threshold], [wouldDrop ? 'not_in_plan' : 'in_plan', null]);
    }),
  );
});

test('a stage that failed open is caught up by the next one', () => {
  const alive = [0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5];
  const kept = apply(WRITTEN_OUT, alive, 10).flatMap(({ wouldDrop }, index) => (wouldDrop ? [] : [index]));
  assert.deepEqual(kept, [1, 3], 'all 8 come to step 10 although the plan kept 4 at step 3');
});

test('at a step that is not in the plan all live on', () => {
  for (const { wouldDrop, reason } of apply(WRITTEN_OUT, [0.1, 0.9], 5))
    assert.deepEqual([wouldDrop, reason], [false, 'score_only']);
});

test('a plan by its budget is the one of the probe, and without one nothing is dropped', () => {
  const scores = [0.1, 0.9, 0.2, 0.4];
  const byBudget: Policy = { name: 'plan', budget: 2 };
  assert.deepEqual(apply(byBudget, scores, 5), apply({ name: 'plan', seeds: 5, keep: { 5: 2 } }, scores, 5));
  for (const { wouldDrop, reason } of apply(byBudget, scores, 5, []))
    assert.deepEqual([wouldDrop, reason], [false, 'uncalibrated']);
});

test('min_keep, exploration and shadow mode save samples from a plan', () => {
  const samples = { scores: [0.1, 0.9, 0.2, 0.4], step: 10, calibration: undefined, plans: [] };
  const saved = (options: object, isExplored = false) =>
    decide(policySchema.parse({ ...WRITTEN_OUT, ...options }), samples, () => isExplored).map(
      ({ override }) => override,
    );
  assert.deepEqual(saved({}), [null, null, null, null]);
  assert.deepEqual(saved({ min_keep: 3 }), [null, null, 'min_keep', null]);
  assert.deepEqual(saved({ mode: 'shadow' }), ['shadow', null, 'shadow', null]);
  assert.deepEqual(saved({}, true), ['explore', null, 'explore', null]);
});

test('a mistake in a plan is reported at its member', () => {
  const mistakes: [object, string, RegExp][] = [
    [{ budget: 3, seeds: 8, keep: {} }, 'budget', /either budget, or seeds and keep/],
    [{ keep: { 5: 2 } }, 'seeds', /give a budget, or seeds and keep/],
    [{ seeds: 8, keep: { 3: 2, 10: 3 } }, 'keep.10', /at most 2/],
    [{ seeds: 8, keep: { x: 2 } }, 'keep.x', /key/],
  ];
  for (const [members, path, message] of mistakes) {
    const [issue = assert.fail()] = policySchema.safeParse({ name: 'plan', ...members }).error?.issues ?? [];
    assert.equal(issue.path.join('.'), path);
    assert.match(issue.message, message);
  }
});
