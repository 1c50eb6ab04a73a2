/** Calibration: percentiles, probabilities, and the guarantee of the conformal threshold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  conformalThreshold,
  interpolate,
  percentile,
  probabilityGood,
} from '../../src/decision/calibration.js';
import type { CalibrationPoint } from '../../src/probe/manifest.js';
import { seededRandom } from '../support/samples.js';

const finite = fc.double({ min: -10, max: 10, noNaN: true });
const ascending = (minLength: number, maxLength = 40) =>
  fc.array(finite, { minLength, maxLength }).map((values) => values.toSorted((left, right) => left - right));

function calibrated(changes: Partial<CalibrationPoint>): CalibrationPoint {
  const p_good = { score: [0, 1], probability: [0, 1] };
  return {
    step: 5,
    captions: 1,
    samples: 1,
    false_drop: null,
    scores: [0, 1],
    good_scores: [],
    p_good,
    ...changes,
  };
}

test('interpolation passes through its knots, is linear between them and constant beyond them', () => {
  const interpolated = (xs: number[], ys: number[], x: number) =>
    interpolate(xs, (index) => ys[index] ?? NaN, x);
  assert.equal(interpolated([0, 1, 3], [0, 10, 30], 2), 20);
  assert.equal(interpolated([0, 1, 3], [0, 10, 30], 1), 10);
  assert.equal(interpolated([0, 1, 3], [0, 10, 30], -5), 0);
  assert.equal(interpolated([0, 1, 3], [0, 10, 30], 99), 30);
  assert.equal(interpolated([2], [7], 0), 7);
  assert.equal(interpolated([0, 1, 1, 2], [0, 10, 20, 30], 1), 15);
});

test('a percentile is between 0 and 100 and never decreases with the score', () => {
  fc.assert(
    fc.property(ascending(2), finite, finite, (scores, one, other) => {
      const calibration = calibrated({ scores });
      const [low, high] = one < other ? [one, other] : [other, one];
      const [below, above] = [percentile(calibration, low), percentile(calibration, high)];
      assert.ok(below >= 0 && above <= 100 && below <= above + 1e-9, `${below} ${above}`);
    }),
  );
});

test('each quantile of the calibration scores has its own percentile', () => {
  const scores = Array.from({ length: 201 }, (_, index) => index ** 2);
  for (const [index, score] of scores.entries())
    assert.ok(Math.abs(percentile(calibrated({ scores }), score) - index / 2) < 1e-9);
});

test('the probability of being good is between 0 and 1 and never decreases with the score', () => {
  const knots = ascending(1, 20).chain((score) =>
    fc
      .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: score.length, maxLength: score.length })
      .map((values) => ({ score, probability: values.toSorted((left, right) => left - right) })),
  );
  fc.assert(
    fc.property(knots, finite, finite, (p_good, one, other) => {
      const calibration = calibrated({ p_good });
      const [low, high] = one < other ? [one, other] : [other, one];
      const [below, above] = [probabilityGood(calibration, low), probabilityGood(calibration, high)];
      assert.ok(below >= 0 && above <= 1 && below <= above + 1e-9, `${below} ${above}`);
    }),
  );
});

test('the conformal threshold is the ⌊alpha(n+1)⌋-th smallest good score', () => {
  const good_scores = Array.from({ length: 99 }, (_, index) => index + 1);
  const calibration = calibrated({ good_scores });
  assert.equal(conformalThreshold(calibration, 0.05), 5);
  assert.equal(conformalThreshold(calibration, 0.29), 29, '0.29 × 100 is 28.999999999999996');
  assert.equal(conformalThreshold(calibration, 0.999), 99);
  assert.equal(conformalThreshold(calibration, 0.01), 1);
});

test('with too few good scores there is no threshold', () => {
  const good_scores = [1, 2, 3, 4, 5, 6, 7, 8];
  assert.equal(conformalThreshold(calibrated({ good_scores }), 0.1), undefined);
  assert.equal(conformalThreshold(calibrated({ good_scores: [...good_scores, 9] }), 0.1), 1);
  assert.equal(conformalThreshold(calibrated({ good_scores: [] }), 0.9), undefined);
});

test('fewer than alpha(n+1) of the good calibration scores are strictly below the threshold, with ties too', () => {
  fc.assert(
    fc.property(ascending(1, 60), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (good_scores, alpha) => {
      const threshold = conformalThreshold(calibrated({ good_scores }), alpha);
      const dropped = good_scores.filter((score) => score < (threshold ?? -Infinity)).length;
      assert.ok(dropped < alpha * (good_scores.length + 1) + 1e-6);
    }),
  );
});

test('over many calibrations, the share of new good samples that are dropped is alpha', () => {
  const random = seededRandom(5);
  const alpha = 0.1;
  const trials = 4000;
  let dropped = 0;
  for (let trial = 0; trial < trials; trial += 1) {
    const good_scores = Array.from({ length: 39 }, random).toSorted((left, right) => left - right);
    if (random() < (conformalThreshold(calibrated({ good_scores }), alpha) ?? 0)) dropped += 1;
  }
  assert.ok(Math.abs(dropped / trials - alpha) < 0.02, String(dropped / trials));
});
