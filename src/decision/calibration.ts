/** Reads a score against a probe's calibration: its percentile, its chance of being good, and safe thresholds. */
import type { CalibrationPoint } from '../probe/manifest.js';
import { normalQuantile } from './normal-quantile.js';

/** More than the rounding error of a product such as 0.07 * 100, which is not exactly 7. */
export const ROUNDING_SLACK = 1e-9;

/** The percentile of a score among the calibration scores: 0 at or below the lowest, 100 at or above the highest. */
export function percentile(calibration: CalibrationPoint, score: number): number {
  const { scores } = calibration;
  return interpolate(scores, (index) => (100 * index) / (scores.length - 1), score);
}

/** The probability, 0 to 1, that the quality of the finished image reaches `good_at`. */
export function probabilityGood(calibration: CalibrationPoint, score: number): number {
  const { score: knots, probability } = calibration.p_good;
  return interpolate(knots, (index) => probability[index] ?? NaN, score);
}

/**
 * The threshold below which dropping loses at most the share `alpha` of good samples, on average over calibrations (split conformal):
 * a new good sample falls strictly below the k-th smallest of n good scores with probability at most k / (n + 1).
 * Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
 * @param alpha between 0 and 1.
 * @returns undefined when there are too few good scores for this alpha: then no sample may be dropped.
 */
export function conformalThreshold(calibration: CalibrationPoint, alpha: number): number | undefined {
  const { good_scores: goodScores } = calibration;
  const k = Math.floor(alpha * (goodScores.length + 1) + ROUNDING_SLACK);
  return goodScores[Math.min(k, goodScores.length) - 1];
}

/**
 * The threshold below which dropping loses at most the share `alpha` of good samples, with this confidence over the draw of the
 * calibration: the largest score up to which the upper bound of that share is at most `alpha`. The bound is the share in the
 * calibration, z standard errors with captions as clusters, and z² / 2n for few captions. See
 * docs/adr/0040-false-drops-with-confidence.md.
 * @param alpha between 0 and 1.
 * @param confidence from 0.5 to 0.9999.
 * @returns undefined when there are too few good samples for this alpha: then no sample may be dropped.
 */
export function confidentThreshold(
  calibration: CalibrationPoint,
  alpha: number,
  confidence: number,
): number | undefined {
  const { captions, score, rate, error } =
    calibration.false_drop ?? independentCurve(calibration.good_scores);
  const z = normalQuantile(confidence);
  const isAbove = (index: number): boolean =>
    (rate[index] ?? NaN) + z * (error[index] ?? NaN) + (z * z) / (2 * captions) > alpha;
  let allowed = 0;
  while (allowed < score.length && !isAbove(allowed)) allowed += 1;
  return score[allowed - 1];
}

/** A calibration without the curve holds one good sample of each caption, which are independent. */
function independentCurve(goodScores: readonly number[]): NonNullable<CalibrationPoint['false_drop']> {
  const samples = goodScores.length;
  const rate = goodScores.map((_, index) => index / samples);
  return {
    captions: samples,
    score: [...goodScores],
    rate,
    error: rate.map((share) => Math.sqrt((share * (1 - share)) / samples)),
  };
}

/**
 * Piecewise linear interpolation through the knots (xs[i], yAt(i)). Beyond the ends it returns the value of the end; at
 * an `x` that several knots share, the mean of the first and the last of them.
 * @param xs ascending, at least one.
 */
export function interpolate(xs: readonly number[], yAt: (index: number) => number, x: number): number {
  const from = firstIndex(xs, (knot) => knot >= x);
  const to = firstIndex(xs, (knot) => knot > x);
  if (from < to) return (yAt(from) + yAt(to - 1)) / 2;
  const [left, right] = [xs[from - 1], xs[from]];
  if (left === undefined) return yAt(0);
  if (right === undefined) return yAt(xs.length - 1);
  const share = (x - left) / (right - left);
  return yAt(from - 1) + share * (yAt(from) - yAt(from - 1));
}

/** Binary search: the first index whose value satisfies the predicate, or the length. All later values must satisfy it too. */
function firstIndex(values: readonly number[], satisfies: (value: number) => boolean): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (satisfies(values[middle] ?? NaN)) high = middle;
    else low = middle + 1;
  }
  return low;
}
