/** Applies a policy to the scores of a group, and ranks the scores. decide.ts then applies the overrides. */
import type { CalibrationPoint } from '../probe/manifest.js';
import type { Plan } from '../probe/plan.js';
import { confidentThreshold, conformalThreshold, ROUNDING_SLACK } from './calibration.js';
import { alphaAt, confidenceOf, keptByStep, type Policy } from './policy.js';

export const DECISION_REASONS = [
  'above_threshold',
  'below_threshold',
  'top_k',
  'not_top_k',
  'in_plan',
  'not_in_plan',
  'score_only',
  'uncalibrated',
] as const;

export type DecisionReason = (typeof DECISION_REASONS)[number];

/** A policy's result for one sample. */
export interface PolicyResult {
  readonly wouldDrop: boolean;
  readonly reason: DecisionReason;
  /** The score below which the policy drops; null when the policy has no such score. */
  readonly threshold: number | null;
}

/** The samples of one request, at one decision point. */
export interface ScoredSamples {
  /** One per sample, all finite. */
  readonly scores: readonly number[];
  /** The decision point's step. */
  readonly step: number;
  /** The decision point's calibration, if the probe has one. */
  readonly calibration: CalibrationPoint | undefined;
  /** The plans of the probe. */
  readonly plans: readonly Plan[];
}

/** Applies the policy to a group: one result per sample, in the same order. */
export function applyPolicy(
  policy: Policy,
  { scores, step, calibration, plans }: ScoredSamples,
): PolicyResult[] {
  switch (policy.name) {
    case 'max_false_drop': {
      const alpha = alphaAt(policy, step);
      if (alpha === undefined) return keepAll(scores, 'score_only');
      const threshold = calibration && thresholdFor(calibration, alpha, confidenceOf(policy));
      return threshold === undefined ? keepAll(scores, 'uncalibrated') : dropBelow(scores, threshold);
    }
    case 'threshold':
      return dropBelow(scores, policy.value);
    case 'top_k':
      return keepBest(scores, policy.k);
    case 'top_fraction':
      return keepBest(scores, Math.ceil(policy.fraction * scores.length - ROUNDING_SLACK));
    case 'plan': {
      const kept = keptByStep(policy, plans);
      if (!kept) return keepAll(scores, 'uncalibrated');
      const count = kept[String(step)];
      return count === undefined
        ? keepAll(scores, 'score_only')
        : keepBest(scores, count, 'in_plan', 'not_in_plan');
    }
    case 'score_only':
      return keepAll(scores, 'score_only');
  }
}

function thresholdFor(
  calibration: CalibrationPoint,
  alpha: number,
  confidence: number | null,
): number | undefined {
  return confidence === null
    ? conformalThreshold(calibration, alpha)
    : confidentThreshold(calibration, alpha, confidence);
}

function keepAll(scores: readonly number[], reason: DecisionReason): PolicyResult[] {
  return scores.map(() => ({ wouldDrop: false, reason, threshold: null }));
}

function dropBelow(scores: readonly number[], threshold: number): PolicyResult[] {
  return scores.map((score) => {
    const wouldDrop = score < threshold;
    return { wouldDrop, reason: wouldDrop ? 'below_threshold' : 'above_threshold', threshold };
  });
}

function keepBest(
  scores: readonly number[],
  count: number,
  reasonToKeep: DecisionReason = 'top_k',
  reasonToDrop: DecisionReason = 'not_top_k',
): PolicyResult[] {
  const kept = new Set(bestFirst(scores).slice(0, count));
  return scores.map((_, index) => {
    const wouldDrop = !kept.has(index);
    return { wouldDrop, reason: wouldDrop ? reasonToDrop : reasonToKeep, threshold: null };
  });
}

/** The samples' indices from the best score to the worst; equal scores in the order of the request. */
export function bestFirst(scores: readonly number[]): number[] {
  return scores
    .map((score, index) => ({ score, index }))
    .toSorted((left, right) => right.score - left.score || left.index - right.index)
    .map(({ index }) => index);
}

/** The rank of each sample, in the order of the request; 1 is the best. */
export function ranks(scores: readonly number[]): number[] {
  const result = scores.map(() => 0);
  for (const [position, index] of bestFirst(scores).entries()) result[index] = position + 1;
  return result;
}
