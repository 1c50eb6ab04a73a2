/** Each policy decides as its description says, and wrong policies are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { alphaAt, explorationRate, type Policy, policySchema } from '../../src/decision/policy.js';
import { applyPolicy as applyPolicyTo, bestFirst, ranks } from '../../src/decision/apply-policy.js';
import type { CalibrationPoint } from '../../src/probe/manifest.js';
import { calibration } from '../support/policies.js';

const scores = fc.array(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0.25, 0.5)), {
  minLength: 1,
  maxLength: 20,
});

function applyPolicy(
  policy: Policy,
  group: readonly number[],
  known: CalibrationPoint | undefined,
  step = calibration.step,
) {
  return applyPolicyTo(policy, { scores: group, step, calibration: known, plans: [] });
}

test('top_k keeps the k best samples', () => {
  fc.assert(
    fc.property(scores, fc.integer({ min: 1, max: 25 }), (group, k) => {
      const results = applyPolicy({ name: 'top_k', k }, group, undefined);
      const kept = group.filter((_, index) => !results[index]?.wouldDrop);
      const dropped = group.filter((_, index) => results[index]?.wouldDrop);
      assert.equal(kept.length, Math.min(k, group.length));
      assert.ok(Math.min(...kept) >= Math.max(...dropped, 0));
    }),
  );
});

test('of equal scores the earlier sample is kept', () => {
  const results = applyPolicy({ name: 'top_k', k: 2 }, [0.5, 0.7, 0.5, 0.5], undefined);
  assert.deepEqual(
    results.map((result) => result.reason),
    ['top_k', 'top_k', 'not_top_k', 'not_top_k'],
  );
});

test('top_fraction rounds up, without the rounding error of decimal fractions', () => {
  const kept = (fraction: number, samples: number): number =>
    applyPolicy(
      { name: 'top_fraction', fraction },
      Array.from({ length: samples }, () => 0.5),
      undefined,
    ).filter((result) => !result.wouldDrop).length;
  assert.equal(kept(0.25, 8), 2);
  assert.equal(kept(0.3, 8), 3);
  assert.equal(kept(0.01, 8), 1);
  assert.equal(kept(1, 8), 8);
  assert.equal(kept(0.07, 100), 7, '0.07 × 100 is 7.000000000000001');
});

test('threshold drops strictly below its value', () => {
  const results = applyPolicy({ name: 'threshold', value: 0.5 }, [0.4, 0.5, 0.6], undefined);
  assert.deepEqual(
    results.map((result) => result.wouldDrop),
    [true, false, false],
  );
  assert.deepEqual(
    results.map((result) => result.reason),
    ['below_threshold', 'above_threshold', 'above_threshold'],
  );
  assert.ok(results.every((result) => result.threshold === 0.5));
});

test('max_false_drop drops strictly below the conformal threshold', () => {
  const results = applyPolicy(
    { name: 'max_false_drop', alpha: 0.1, confidence: null },
    [0.09, 0.1, 0.11],
    calibration,
  );
  assert.deepEqual(
    results.map((result) => result.wouldDrop),
    [true, false, false],
  );
  assert.ok(results.every((result) => result.threshold === 0.1));
});

test('max_false_drop drops nothing when the calibration is missing or too small', () => {
  for (const known of [undefined, { ...calibration, good_scores: [0.5] }]) {
    const results = applyPolicy({ name: 'max_false_drop', alpha: 0.1 }, [0, 0.5], known);
    assert.ok(
      results.every(
        ({ wouldDrop, reason, threshold }) => !wouldDrop && reason === 'uncalibrated' && threshold === null,
      ),
    );
  }
});

test('max_false_drop with an alpha per step drops at those steps only', () => {
  const policy: Policy = { name: 'max_false_drop', alphas: { 5: 0.1, 10: 0.2 }, confidence: null };
  assert.deepEqual(
    [5, 10, 7].map((step) => alphaAt(policy, step)),
    [0.1, 0.2, undefined],
  );
  const reasons = (step: number) =>
    applyPolicy(policy, [0.15, 0.25], calibration, step).map(({ reason }) => reason);
  assert.deepEqual(reasons(5), ['above_threshold', 'above_threshold']);
  assert.deepEqual(reasons(10), ['below_threshold', 'above_threshold']);
  assert.deepEqual(reasons(7), ['score_only', 'score_only']);
});

test('a larger alpha never keeps what a smaller one drops', () => {
  const alpha = fc.double({ min: 0.01, max: 0.99, noNaN: true });
  fc.assert(
    fc.property(scores, alpha, alpha, (group, one, other) => {
      const [small, large] = one < other ? [one, other] : [other, one];
      const careful = applyPolicy({ name: 'max_false_drop', alpha: small }, group, calibration);
      const bold = applyPolicy({ name: 'max_false_drop', alpha: large }, group, calibration);
      for (const [index, result] of careful.entries()) assert.ok(!result.wouldDrop || bold[index]?.wouldDrop);
    }),
  );
});

test('score_only keeps everything', () => {
  const results = applyPolicy({ name: 'score_only' }, [0, 1], calibration);
  assert.ok(results.every(({ wouldDrop, reason }) => !wouldDrop && reason === 'score_only'));
});

test('ranks are a permutation that follows the scores', () => {
  fc.assert(
    fc.property(scores, (group) => {
      const places = ranks(group);
      assert.deepEqual(
        places.toSorted((left, right) => left - right),
        group.map((_, index) => index + 1),
      );
      const ordered = bestFirst(group).map((index) => group[index] ?? NaN);
      assert.deepEqual(
        ordered,
        group.toSorted((left, right) => right - left),
      );
    }),
  );
});

test('an invalid policy is refused', () => {
  const wrong = [
    {},
    'top_k',
    { name: 'best' },
    { name: 'top_k' },
    { name: 'top_k', k: 0 },
    { name: 'top_k', k: 1.5 },
    { name: 'top_k', k: 1, alpha: 0.1 },
    { name: 'top_fraction', fraction: 0 },
    { name: 'top_fraction', fraction: 1.1 },
    { name: 'max_false_drop', alpha: 0 },
    { name: 'max_false_drop', alpha: 1 },
    { name: 'max_false_drop', confidence: 1 },
    { name: 'max_false_drop', confidence: 0.4 },
    { name: 'top_k', k: 1, confidence: 0.9 },
    { name: 'max_false_drop', alpha: 0.1, alphas: { 5: 0.1 } },
    { name: 'max_false_drop', alphas: { 0: 0.1 } },
    { name: 'max_false_drop', alphas: { five: 0.1 } },
    { name: 'max_false_drop', alphas: { 5: 0 } },
    { name: 'max_false_drop', alphas: { 5: 0.6, 10: 0.4 } },
    { name: 'top_k', k: 1, min_keep: 0 },
    { name: 'top_k', k: 1, mode: 'dark' },
    { name: 'top_k', k: 1, explore: 0.1 },
    { name: 'top_k', k: 1, explore: { rate: 1.1 } },
    { name: 'top_k', k: 1, explore: { rate: 0.1, seed: 1 } },
    { name: 'plan' },
    { name: 'plan', budget: 0 },
    { name: 'plan', budget: 3, seeds: 8, keep: { 5: 2 } },
    { name: 'plan', seeds: 8 },
    { name: 'plan', keep: { 5: 2 } },
    { name: 'plan', seeds: 8, keep: { 5: 9 } },
    { name: 'plan', seeds: 8, keep: { 3: 2, 10: 3 } },
    { name: 'plan', seeds: 8, keep: { 5: 0 } },
    { name: 'plan', seeds: 8, keep: { five: 2 } },
    { name: 'plan', seeds: 8, keep: { 5: 1.5 } },
    { name: 'threshold', value: '0.5' },
    { name: 'threshold', value: NaN },
  ];
  for (const policy of wrong) assert.ok(!policySchema.safeParse(policy).success, JSON.stringify(policy));
});

test('every policy accepts the options', () => {
  const options = { mode: 'shadow', min_keep: 2, explore: { rate: 0.5 } };
  for (const own of [
    { name: 'max_false_drop', alpha: 0.1, confidence: 0.9 },
    { name: 'max_false_drop', alphas: { 3: 0.01, 5: 0.02 }, confidence: null },
    { name: 'threshold', value: 0.5 },
    { name: 'top_k', k: 1 },
    { name: 'top_fraction', fraction: 0.5 },
    { name: 'plan', budget: 1.5 },
    { name: 'plan', seeds: 8, keep: { 1: 7, 5: 7, 10: 2 } },
    { name: 'score_only' },
  ]) {
    const policy = { ...own, ...options };
    assert.deepEqual(policySchema.parse(policy), policy);
  }
});

test('the default alpha of max_false_drop is 0.05, with a confidence of 0.95', () => {
  const policy = policySchema.parse({ name: 'max_false_drop' });
  assert.equal(alphaAt(policy, 5), 0.05);
  assert.deepEqual(
    applyPolicy(policy, [0.04, 0.05, 0.06], calibration),
    applyPolicy({ ...policy, alpha: 0.05, confidence: 0.95 } as Policy, [0.04, 0.05, 0.06], calibration),
  );
});

test('the default exploration rate is 0.02', () => {
  assert.equal(explorationRate({ name: 'top_k', k: 1 }), 0.02);
  assert.equal(explorationRate(policySchema.parse({ name: 'top_k', k: 1, explore: {} })), 0.02);
  assert.equal(explorationRate({ name: 'top_k', k: 1, explore: { rate: 0 } }), 0);
});
