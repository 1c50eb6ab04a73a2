/** Decisions: overrides only keep samples, and the reported propensities are the true probabilities. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { decide, type SampleDecision } from '../../src/decision/decide.js';
import { explorationRate, type Policy, policySchema } from '../../src/decision/policy.js';
import { applyPolicy, bestFirst, type ScoredSamples } from '../../src/decision/apply-policy.js';
import { calibration, EVERY_RULE, PLANS } from '../support/policies.js';

const anySamples: fc.Arbitrary<ScoredSamples> = fc.record({
  scores: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 }),
  step: fc.constantFrom(5, 10),
  calibration: fc.constantFrom(calibration, undefined),
  plans: fc.constantFrom(PLANS, []),
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
  fc.record({ name: fc.constant('plan' as const), budget: fc.constantFrom(1, 2) }),
  fc.record({
    name: fc.constant('plan' as const),
    seeds: fc.constant(12),
    keep: fc.record({ 5: fc.integer({ min: 1, max: 12 }) }),
  }),
  fc.record({ name: fc.constant('score_only' as const) }),
);
const anyPolicy: fc.Arbitrary<Policy> = fc.tuple(anyRule, anyOptions).map(([rule, options]) => {
  return policySchema.parse({ ...rule, ...options });
});

/** Decisions when each sample has the given exploration draw. */
function decideWith(policy: Policy, samples: ScoredSamples, draws: readonly number[]): SampleDecision[] {
  return decide(policy, samples, (index, rate) => (draws[index] ?? 0.5) < rate);
}

const anyDraws = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 12,
  maxLength: 12,
});

test('samples that the policy keeps are kept, and dropped samples have no override', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, (policy, samples, draws) => {
      const results = applyPolicy(policy, samples);
      for (const [index, decision] of decideWith(policy, samples, draws).entries()) {
        assert.equal(decision.wouldDrop, results[index]?.wouldDrop);
        assert.equal(decision.reason, results[index]?.reason);
        assert.equal(decision.override !== null, decision.wouldDrop && decision.decision === 'keep');
        if (!decision.wouldDrop) assert.equal(decision.decision, 'keep');
      }
    }),
  );
});

test('min_keep keeps that many of the best samples, for every policy and draw', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, (policy, samples, draws) => {
      const decisions = decideWith(policy, samples, draws);
      for (const index of bestFirst(samples.scores).slice(0, policy.min_keep ?? 0)) {
        assert.equal(decisions[index]?.decision, 'keep');
        assert.equal(decisions[index]?.propensity, 1);
      }
    }),
  );
});

test('shadow mode keeps everything and reports what the policy would drop', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, (policy, samples, draws) => {
      for (const decision of decideWith({ ...policy, mode: 'shadow' }, samples, draws)) {
        assert.equal(decision.decision, 'keep');
        assert.equal(decision.override, decision.wouldDrop ? 'shadow' : null);
        assert.deepEqual([decision.propensity, decision.lowestPropensity], [1, 1]);
      }
    }),
  );
});

test('the propensity is the share of draws with which the sample is kept', () => {
  const grid = Array.from({ length: 200 }, (_, index) => index / 200);
  fc.assert(
    fc.property(anyPolicy, anySamples, (policy, samples) => {
      const worlds = grid.map((draw) => decideWith(policy, samples, Array<number>(12).fill(draw)));
      for (const index of samples.scores.keys()) {
        const kept = worlds.filter((decisions) => decisions[index]?.decision === 'keep').length / grid.length;
        const propensities = new Set(worlds.map((decisions) => decisions[index]?.propensity));
        assert.equal(propensities.size, 1, 'the propensity does not depend on the draw');
        assert.ok(Math.abs(kept - (worlds[0]?.[index]?.propensity ?? NaN)) <= 1 / grid.length);
      }
    }),
    { numRuns: 50 },
  );
});

test('the draw of one sample does not affect any other sample', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, fc.nat(11), (policy, samples, draws, changed) => {
      const before = decideWith(policy, samples, draws);
      const after = decideWith(policy, samples, draws.with(changed, 0));
      for (const index of samples.scores.keys()) {
        if (index !== changed) assert.deepEqual(after[index], before[index]);
      }
    }),
  );
});

test('lowestPropensity is the exploration rate when something can be dropped, else 1', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, (policy, samples, draws) => {
      for (const { lowestPropensity, reason } of decideWith(policy, samples, draws)) {
        const dropsNothing = policy.mode === 'shadow' || reason === 'score_only' || reason === 'uncalibrated';
        assert.equal(lowestPropensity, dropsNothing ? 1 : explorationRate(policy));
      }
    }),
  );
});

const GROUP = [0.1, 0.9, 0.2, 0.4, 0.15];

/** All combinations of the options, each omitted and at every value that makes a difference. */
const EVERY_OPTIONS = ([undefined, 'enforce', 'shadow'] as const).flatMap((mode) =>
  [undefined, 1, 4, 9].flatMap((min_keep) =>
    [undefined, 0, 0.5, 1].map((rate) => ({ mode, min_keep, rate })),
  ),
);

for (const rule of EVERY_RULE) {
  test(`${JSON.stringify(rule)}: shadow takes precedence over min_keep, and min_keep over exploration`, () => {
    const seen = new Set<string | null>();
    for (const { mode, min_keep, rate } of EVERY_OPTIONS) {
      const options = { mode, min_keep, explore: rate === undefined ? undefined : { rate } };
      const policy = policySchema.parse(JSON.parse(JSON.stringify({ ...rule, ...options })));
      // With these draws, rate 0.5 explores the third sample only, and rate 1 explores all of them.
      const decisions = decideWith(
        policy,
        { scores: GROUP, step: 5, calibration, plans: PLANS },
        [0.6, 0.6, 0.4, 0.6, 0.6],
      );
      const best = new Set(bestFirst(GROUP).slice(0, min_keep ?? 0));
      for (const [index, { wouldDrop, override, decision, propensity }] of decisions.entries()) {
        const isExplored = (index === 2 ? 0.4 : 0.6) < (rate ?? 0.02);
        const exploration = isExplored ? 'explore' : null;
        const applicable = mode === 'shadow' ? 'shadow' : best.has(index) ? 'min_keep' : exploration;
        const expected = wouldDrop ? applicable : null;
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
    assert.equal(seen.size, rule.name === 'score_only' ? 1 : 4, 'every override occurs');
  });
}

test('foreign conditions keep every sample with certainty, after shadow mode and before the other overrides', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, anyDraws, (policy, samples, draws) => {
      const results = applyPolicy(policy, samples);
      const isExplored = (index: number, rate: number): boolean => (draws[index] ?? 0.5) < rate;
      for (const [index, decision] of decide(policy, samples, isExplored, true).entries()) {
        const { wouldDrop } = results[index] ?? assert.fail();
        const expected = policy.mode === 'shadow' ? 'shadow' : 'foreign_conditions';
        assert.equal(decision.override, wouldDrop ? expected : null);
        assert.deepEqual(
          [decision.decision, decision.wouldDrop, decision.propensity, decision.lowestPropensity],
          ['keep', wouldDrop, 1, 1],
        );
      }
    }),
  );
});
