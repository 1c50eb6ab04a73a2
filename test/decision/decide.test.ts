/** Owns the proof that overrides only ever save, and that what they tell about chance is true. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { decide, type SampleDecision } from '../../src/decision/decide.js';
import { exploreRate, type Policy, policySchema } from '../../src/decision/policy.js';
import { bestFirst } from '../../src/decision/ranking.js';
import { applyPolicy, type ScoredSamples } from '../../src/decision/apply-policy.js';
import { calibration, EVERY_RULE } from '../support/policies.js';

const anySamples: fc.Arbitrary<ScoredSamples> = fc.record({
  scores: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 }),
  step: fc.constantFrom(5, 10),
  calibration: fc.constantFrom(calibration, undefined),
});

const share = fc.double({ min: 0.01, max: 0.99, noNaN: true });
const anyOptions = fc.record(
  {
    mode: fc.constantFrom('enforce' as const, 'shadow' as const),
    min_keep: fc.integer({ min: 1, max: 14 }),
    explore: fc.record({ rate: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { requiredKeys: [] },
);
const anyRule = fc.oneof(
  fc.record({ name: fc.constant('max_false_drop' as const), alpha: share }),
  fc.record({ name: fc.constant('max_false_drop' as const), alphas: fc.record({ 5: share }) }),
  fc.record({ name: fc.constant('threshold' as const), value: share }),
  fc.record({ name: fc.constant('top_k' as const), k: fc.integer({ min: 1, max: 14 }) }),
  fc.record({ name: fc.constant('top_fraction' as const), fraction: share }),
  fc.record({ name: fc.constant('score_only' as const) }),
);
const anyPolicy: fc.Arbitrary<Policy> = fc.tuple(anyRule, anyOptions).map(([rule, options]) => {
  return policySchema.parse({ ...rule, ...options });
});

/** Rulings where each sample has drawn its lot. */
function ruled(policy: Policy, samples: ScoredSamples, draws: readonly number[]): SampleDecision[] {
  return decide(policy, samples, (index, rate) => (draws[index] ?? 0.5) < rate);
}

const draws = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 12,
  maxLength: 12,
});

test('what the policy keeps is kept, and what is dropped has no override', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, draws, (policy, samples, lots) => {
      const results = applyPolicy(policy, samples);
      for (const [index, decision] of ruled(policy, samples, lots).entries()) {
        assert.equal(decision.wouldDrop, results[index]?.wouldDrop);
        assert.equal(decision.reason, results[index]?.reason);
        assert.equal(decision.override !== null, decision.wouldDrop && decision.decision === 'keep');
        if (!decision.wouldDrop) assert.equal(decision.decision, 'keep');
      }
    }),
  );
});

test('min_keep keeps the best so many, whatever the policy and the lots', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, draws, (policy, samples, lots) => {
      const decisions = ruled(policy, samples, lots);
      for (const index of bestFirst(samples.scores).slice(0, policy.min_keep ?? 0)) {
        assert.equal(decisions[index]?.decision, 'keep');
        assert.equal(decisions[index]?.propensity, 1);
      }
    }),
  );
});

test('shadow mode keeps everything and says what it would have done', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, draws, (policy, samples, lots) => {
      for (const decision of ruled({ ...policy, mode: 'shadow' }, samples, lots)) {
        assert.equal(decision.decision, 'keep');
        assert.equal(decision.override, decision.wouldDrop ? 'shadow' : null);
        assert.deepEqual([decision.propensity, decision.survival], [1, 1]);
      }
    }),
  );
});

test('the propensity is the share of lots with which the sample is kept', () => {
  const grid = Array.from({ length: 200 }, (_, index) => index / 200);
  fc.assert(
    fc.property(anyPolicy, anySamples, (policy, samples) => {
      const worlds = grid.map((lot) => ruled(policy, samples, Array<number>(12).fill(lot)));
      for (const index of samples.scores.keys()) {
        const kept = worlds.filter((decisions) => decisions[index]?.decision === 'keep').length / grid.length;
        const propensities = new Set(worlds.map((decisions) => decisions[index]?.propensity));
        assert.equal(propensities.size, 1, 'the chance does not depend on the draw');
        assert.ok(Math.abs(kept - (worlds[0]?.[index]?.propensity ?? NaN)) <= 1 / grid.length);
      }
    }),
    { numRuns: 50 },
  );
});

test('one sample’s lot decides on no other sample', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, draws, fc.nat(11), (policy, samples, lots, changed) => {
      const before = ruled(policy, samples, lots);
      const after = ruled(policy, samples, lots.with(changed, 0));
      for (const index of samples.scores.keys()) {
        if (index !== changed) assert.deepEqual(after[index], before[index]);
      }
    }),
  );
});

test('survival is the rate of exploration where something may be dropped, else 1', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, draws, (policy, samples, lots) => {
      for (const { survival, reason } of ruled(policy, samples, lots)) {
        const dropsNothing = policy.mode === 'shadow' || reason === 'score_only' || reason === 'uncalibrated';
        assert.equal(survival, dropsNothing ? 1 : exploreRate(policy));
      }
    }),
  );
});

const GROUP = [0.1, 0.9, 0.2, 0.4, 0.15];

/** The options of a policy, each left out and set to all that makes a difference. */
const EVERY_OPTIONS = ([undefined, 'enforce', 'shadow'] as const).flatMap((mode) =>
  [undefined, 1, 4, 9].flatMap((min_keep) =>
    [undefined, 0, 0.5, 1].map((rate) => ({ mode, min_keep, rate })),
  ),
);

for (const rule of EVERY_RULE) {
  test(`of ${JSON.stringify(rule)}, shadow saves before min_keep, and min_keep before exploration`, () => {
    const seen = new Set<string | null>();
    for (const { mode, min_keep, rate } of EVERY_OPTIONS) {
      const options = { mode, min_keep, explore: rate === undefined ? undefined : { rate } };
      const policy = policySchema.parse(JSON.parse(JSON.stringify({ ...rule, ...options })));
      // The third sample draws a lot that rates above 0.4 save, the others one that only rate 1 saves.
      const decisions = ruled(policy, { scores: GROUP, step: 5, calibration }, [0.6, 0.6, 0.4, 0.6, 0.6]);
      const guarded = new Set(bestFirst(GROUP).slice(0, min_keep ?? 0));
      for (const [index, { wouldDrop, override, decision, propensity }] of decisions.entries()) {
        const isExplored = (index === 2 ? 0.4 : 0.6) < (rate ?? 0.02);
        const byChance = isExplored ? 'explore' : null;
        const saviour = mode === 'shadow' ? 'shadow' : guarded.has(index) ? 'min_keep' : byChance;
        const expected = wouldDrop ? saviour : null;
        const isCertain = !wouldDrop || expected === 'shadow' || expected === 'min_keep';
        assert.deepEqual(
          { override, decision, propensity },
          {
            override: expected,
            decision: wouldDrop && expected === null ? 'drop' : 'keep',
            propensity: isCertain ? 1 : (rate ?? 0.02),
          },
          JSON.stringify(policy),
        );
        seen.add(override);
      }
      const drops = decisions.filter(({ wouldDrop }) => wouldDrop).length;
      assert.ok(rule.name === 'score_only' ? drops === 0 : drops > 0 && drops < GROUP.length);
    }
    assert.equal(seen.size, rule.name === 'score_only' ? 1 : 4, 'every override has been met');
  });
}
