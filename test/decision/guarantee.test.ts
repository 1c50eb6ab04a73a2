/**
 * The guarantee of max_false_drop without a confidence, on real scores: the committed scores of the test captions. Random captions
 * serve as the calibration and the others as the traffic.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { alphaAt, type Policy } from '../../src/decision/policy.js';
import { applyPolicy } from '../../src/decision/apply-policy.js';
import type { CalibrationPoint } from '../../src/probe/manifest.js';
import { uniformNumbers } from '../../demo/world/node/random.js';
import { type CaptionScores, committedScores, shippedManifest } from '../support/test-scores.js';

type MaxFalseDropPolicy = Extract<Policy, { name: 'max_false_drop' }>;

const CALIBRATIONS = 1000;
const ALPHAS = [0.01, 0.02, 0.05, 0.1];
/** The share of captions that serve as calibration. */
const CALIBRATION_SHARE = 2 / 3;
/** The tolerance for sampling error, in standard errors. */
const ERRORS = 4;
/** Equal scores reduce the number of drops: the rate may be lower than `exactRate` by this share. */
const TIES = 0.1;

const scores = await committedScores();
const manifest = await shippedManifest();

/** The drops among the other captions with one random calibration. */
interface Trial {
  readonly good: number;
  readonly dropped: number;
  /** The exact rate if no scores were equal: ⌊alpha(n+1)⌋ / (n+1). */
  readonly exactRate: number;
}

/** The captions in a random order. */
function shuffled(count: number, random: () => number): number[] {
  return Array.from({ length: count }, (_, index) => ({ index, place: random() }))
    .toSorted((left, right) => left.place - right.place)
    .map(({ index }) => index);
}

/** The positions of the good samples of some captions, the same at every step. */
function goodPlaces(captions: readonly CaptionScores[], rows: readonly number[], goodAt: number) {
  return rows.flatMap((row) =>
    (captions[row]?.quality ?? []).flatMap((quality, sample) => (quality >= goodAt ? [{ row, sample }] : [])),
  );
}

function calibrationOf(step: number, goodScores: readonly number[]): CalibrationPoint {
  return {
    step,
    captions: 1,
    samples: 1,
    false_drop: null,
    scores: [0, 1],
    good_scores: goodScores.toSorted((left, right) => left - right),
    p_good: { score: [0], probability: [0] },
  };
}

/** Calibrates on one random sample of each of some random captions, at all the steps, and applies each policy to the others. */
function trial(
  policies: readonly MaxFalseDropPolicy[],
  steps: readonly number[],
  random: () => number,
): Trial[] {
  const captions = scores.at(steps[0] ?? NaN);
  const order = shuffled(captions.length, random);
  const cut = Math.round(CALIBRATION_SHARE * order.length);
  const drawn = order.slice(0, cut).map((row) => {
    const { quality } = captions[row] ?? assert.fail();
    return { row, sample: Math.floor(random() * quality.length) };
  });
  const calibrating = drawn.filter(
    ({ row, sample }) => (captions[row]?.quality[sample] ?? NaN) >= scores.goodAt,
  );
  const traffic = goodPlaces(captions, order.slice(cut), scores.goodAt);
  const points = steps.map((step) => {
    const at = scores.at(step);
    const scoreOf = ({ row, sample }: { row: number; sample: number }) => at[row]?.scores[sample] ?? NaN;
    const calibration = calibrationOf(step, calibrating.map(scoreOf));
    return { scores: traffic.map(scoreOf), step, calibration, plans: [] };
  });
  const ranks = calibrating.length + 1;
  return policies.map((policy) => {
    const results = points.map((point) => applyPolicy(policy, point));
    const dropped = traffic.filter((_, index) => results.some((at) => at[index]?.wouldDrop)).length;
    const exactRate = steps.map((step) => Math.floor((alphaAt(policy, step) ?? NaN) * ranks + 1e-9) / ranks);
    return { good: traffic.length, dropped, exactRate: exactRate.reduce((sum, rate) => sum + rate, 0) };
  });
}

/** For each policy: the rate over all trials, its standard error, and the mean of `exactRate`. */
function realised(policies: readonly MaxFalseDropPolicy[], steps: readonly number[]) {
  const random = uniformNumbers(`calibrations at ${steps.join()}`);
  const all = Array.from({ length: CALIBRATIONS }, () => trial(policies, steps, random));
  return policies.map((policy, index) => {
    const trials = all.map((results) => results[index] ?? assert.fail());
    const total = (of: (one: Trial) => number): number => trials.reduce((sum, one) => sum + of(one), 0);
    const good = total((one) => one.good);
    const rate = total((one) => one.dropped) / good;
    const error = Math.sqrt(total((one) => (one.dropped - rate * one.good) ** 2)) / good;
    return { policy, rate, error, exactRate: total((one) => one.exactRate * one.good) / good };
  });
}

for (const step of scores.steps) {
  test(`over ${CALIBRATIONS} calibrations, at most alpha of good samples are dropped at step ${step}`, () => {
    const policies = ALPHAS.map((alpha) => ({ name: 'max_false_drop', alpha, confidence: null }) as const);
    for (const { policy, rate, error, exactRate } of realised(policies, [step])) {
      const { alpha = NaN } = policy;
      const message = `${rate} ± ${error} at ${alpha}, exact rate ${exactRate}`;
      assert.ok(rate <= alpha + ERRORS * error, message);
      assert.ok(rate > 0, message);
      assert.ok(rate >= exactRate * (1 - TIES) - ERRORS * error, message);
    }
  });
}

test('with alphas for several steps, at most their sum of good samples is dropped', () => {
  const [first = assert.fail(), second = assert.fail()] = scores.steps.slice(-2);
  const alphas = { [first]: 0.02, [second]: 0.03 };
  const [result = assert.fail()] = realised(
    [{ name: 'max_false_drop', alphas, confidence: null }],
    [first, second],
  );
  const { rate, error } = result;
  assert.ok(rate <= 0.05 + ERRORS * error, `${rate} ± ${error}`);
  assert.ok(rate > 0.03 / 2, `${rate}: about as many as either step drops alone`);
});

/** The number of good samples of each caption, and how many of them the policy drops. */
function goodAndDropped(calibration: CalibrationPoint, alpha: number): { good: number; dropped: number }[] {
  const policy = { name: 'max_false_drop', alpha, confidence: null } as const;
  return scores.at(calibration.step).map(({ scores: own, quality }) => {
    const results = applyPolicy(policy, { scores: own, step: calibration.step, calibration, plans: [] });
    const isGood = quality.map((value) => value >= scores.goodAt);
    return {
      good: isGood.filter(Boolean).length,
      dropped: results.filter(({ wouldDrop }, index) => wouldDrop && isGood[index]).length,
    };
  });
}

/** The lower end of the 95% interval of the false-drop rate, by resampling captions. */
function lowerEnd(captions: readonly { good: number; dropped: number }[]): number {
  const random = uniformNumbers('bootstrap');
  const rates = Array.from({ length: CALIBRATIONS }, () => {
    let [good, dropped] = [0, 0];
    for (let draw = 0; draw < captions.length; draw += 1) {
      const caption = captions[Math.floor(random() * captions.length)] ?? assert.fail();
      good += caption.good;
      dropped += caption.dropped;
    }
    return dropped / good;
  });
  return rates.toSorted((left, right) => left - right)[Math.round(0.025 * (CALIBRATIONS - 1))] ?? NaN;
}

test('the shipped calibration keeps its guarantee on the test captions, within the sampling error', () => {
  for (const calibration of manifest.calibration.filter(({ step }) => scores.steps.includes(step))) {
    for (const alpha of ALPHAS) {
      // The rate of one calibration follows a beta distribution around alpha; the bootstrap covers the test captions' error.
      const spread = Math.sqrt((alpha * (1 - alpha)) / (calibration.good_scores.length + 2));
      const low = lowerEnd(goodAndDropped(calibration, alpha));
      assert.ok(low <= alpha + ERRORS * spread, `step ${calibration.step}, ${alpha}: ${low}`);
    }
  }
});
