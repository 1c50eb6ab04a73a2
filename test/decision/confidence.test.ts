/** Thresholds with a confidence: the documented bound, the same as in Python, and a promise that holds for single calibrations. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import fc from 'fast-check';

import { applyPolicy } from '../../src/decision/apply-policy.js';
import { confidentThreshold, conformalThreshold } from '../../src/decision/calibration.js';
import { normalQuantile } from '../../src/decision/normal-quantile.js';
import { confidenceOf, type Policy } from '../../src/decision/policy.js';
import type { CalibrationPoint } from '../../src/probe/manifest.js';
import { calibration } from '../support/policies.js';
import { seededRandom } from '../support/samples.js';
import { committedScores, shippedManifest } from '../support/test-scores.js';

const CURVE = {
  captions: 400,
  score: [0.1, 0.2, 0.3, 0.4],
  rate: [0, 0.02, 0.05, 0.06],
  error: [0, 0.01, 0.02, 0.01],
};
const withCurve: CalibrationPoint = { ...calibration, false_drop: CURVE };

/** Digits of the committed study. */
const DIGITS = 4;

interface Study {
  readonly rows: readonly {
    readonly step: number;
    readonly alpha: number;
    readonly confidence: number | null;
    readonly false_drop: number;
    readonly drop_rate: number;
  }[];
}

test('quantiles of the normal distribution are exact', () => {
  const known = [
    [0.5, 0],
    [0.9, 1.2815515655446004],
    [0.95, 1.6448536269514722],
    [0.975, 1.959963984540054],
    [0.9999, 3.719016485455709],
  ] as const;
  for (const [probability, z] of known) {
    const difference = Math.abs(normalQuantile(probability) - z);
    assert.ok(difference < 1e-11, `${probability}: ${difference}`);
  }
});

test('the threshold is the largest score up to which the bound is at most alpha', () => {
  // The bounds at 0.95 are 0.0034, 0.0398, 0.0863 and, behind a higher one, 0.0798.
  const at = (alpha: number, confidence = 0.95) => confidentThreshold(withCurve, alpha, confidence);
  assert.deepEqual([at(0.003), at(0.0034), at(0.0397), at(0.0399)], [undefined, 0.1, 0.1, 0.2]);
  assert.deepEqual([at(0.086), at(0.087)], [0.2, 0.4]);
  assert.equal(at(0.05, 0.5), 0.3, 'a confidence of 0.5 is the rate itself');
});

test('without a curve the good scores count as independent', () => {
  const samples = calibration.good_scores.length;
  const z = 1.6448536269514722;
  const bound = (lost: number): number => {
    const rate = lost / samples;
    return rate + z * Math.sqrt((rate * (1 - rate)) / samples) + (z * z) / (2 * samples);
  };
  const lost = calibration.good_scores.filter((_, index) => bound(index) <= 0.3).length;
  assert.equal(confidentThreshold(calibration, 0.3, 0.95), calibration.good_scores[lost - 1]);
  assert.equal(confidentThreshold({ ...calibration, good_scores: [] }, 0.9, 0.95), undefined);
});

test('a higher confidence never drops more, and none drops less than on average over calibrations', () => {
  const share = fc.double({ min: 0.01, max: 0.5, noNaN: true });
  const confidence = fc.double({ min: 0.5, max: 0.9999, noNaN: true });
  fc.assert(
    fc.property(share, confidence, confidence, (alpha, one, other) => {
      const [low, high] = one < other ? [one, other] : [other, one];
      const careful = confidentThreshold(calibration, alpha, high) ?? 0;
      assert.ok(careful <= (confidentThreshold(calibration, alpha, low) ?? 0));
      if (high >= 0.8) assert.ok(careful <= (conformalThreshold(calibration, alpha) ?? 0));
    }),
  );
});

test('a policy without a confidence has 0.95, and null is the promise on average', () => {
  const thresholdOf = (policy: Policy) =>
    applyPolicy(policy, { scores: [0], step: 5, calibration: withCurve, plans: [] })[0]?.threshold;
  assert.equal(confidenceOf({ name: 'max_false_drop' }), 0.95);
  assert.equal(thresholdOf({ name: 'max_false_drop', alpha: 0.05 }), 0.2);
  assert.equal(thresholdOf({ name: 'max_false_drop', alpha: 0.05, confidence: 0.95 }), 0.2);
  assert.equal(thresholdOf({ name: 'max_false_drop', alpha: 0.05, confidence: null }), 0.05);
  assert.equal(thresholdOf({ name: 'max_false_drop', alpha: 0.001 }), null, 'too few good samples');
});

test('of many calibrations, at most one in twenty loses more than alpha', () => {
  const random = seededRandom(11);
  const trials = 2000;
  for (const alpha of [0.05, 0.2]) {
    let exceeding = 0;
    for (let trial = 0; trial < trials; trial += 1) {
      const good_scores = Array.from({ length: 300 }, random).toSorted((left, right) => left - right);
      // Of uniform scores, the rate below a threshold is the threshold.
      if ((confidentThreshold({ ...calibration, good_scores }, alpha, 0.95) ?? 0) > alpha) exceeding += 1;
    }
    assert.ok(exceeding / trials < 0.05 + 3 * Math.sqrt((0.05 * 0.95) / trials), `${exceeding} at ${alpha}`);
  }
});

test('the service drops what the study in Python says', async () => {
  const { rows } = JSON.parse(await readFile('docs/false-drop.json', 'utf8')) as Study;
  const [scores, manifest] = [await committedScores(), await shippedManifest()];
  assert.ok(rows.length >= 10);
  for (const { step, alpha, confidence, ...expected } of rows) {
    const point = manifest.calibration.find((candidate) => candidate.step === step);
    const policy: Policy = { name: 'max_false_drop', alpha, confidence };
    const samples = scores.at(step).flatMap(({ scores: own, quality }) => {
      const results = applyPolicy(policy, { scores: own, step, calibration: point, plans: [] });
      return results.map(({ wouldDrop }, index) => ({
        wouldDrop,
        isGood: (quality[index] ?? NaN) >= scores.goodAt,
      }));
    });
    const dropped = (of: typeof samples): string =>
      (of.filter(({ wouldDrop }) => wouldDrop).length / of.length).toFixed(DIGITS);
    assert.deepEqual(
      [dropped(samples.filter(({ isGood }) => isGood)), dropped(samples)],
      [expected.false_drop.toFixed(DIGITS), expected.drop_rate.toFixed(DIGITS)],
      `step ${step}, alpha ${alpha}`,
    );
  }
});
