/** Owns what a score means against the probe's calibration: its percentile, its chance of being good, a safe threshold. */
import type { CalibrationPoint } from '../probe/manifest.js';
import { at, interpolate } from './interpolate.js';

/** Decimal alphas such as 0.07 times 100 miss the whole number by less than this. */
const ROUNDING_SLACK = 1e-9;

/** Where a score stands among the calibration scores: 0 at or below the lowest, 100 at or above the highest. */
export function percentile(calibration: CalibrationPoint, score: number): number {
  const { scores } = calibration;
  return interpolate(scores, (index) => (100 * index) / (scores.length - 1), score);
}

/** The probability, 0 to 1, that the finished image's metric reaches `good_at`. */
export function probabilityGood(calibration: CalibrationPoint, score: number): number {
  const { score: knots, probability } = calibration.p_good;
  return interpolate(knots, (index) => at(probability, index), score);
}

/**
 * The threshold below which dropping loses at most the share `alpha` of good samples, by split conformal prediction:
 * a new good sample falls strictly below the k-th smallest of n good scores with probability at most k / (n + 1).
 * @param alpha between 0 and 1.
 * @returns undefined when there are too few good scores to promise that: then nothing may be dropped.
 */
export function conformalThreshold(calibration: CalibrationPoint, alpha: number): number | undefined {
  const { good_scores: goodScores } = calibration;
  const k = Math.floor(alpha * (goodScores.length + 1) + ROUNDING_SLACK);
  return goodScores[Math.min(k, goodScores.length) - 1];
}
