/** Owns what a policy wants: its verdict on each sample of a group, before anything overrides it. */
import type { CalibrationPoint } from '../probe/manifest.js';
import { conformalThreshold } from './calibration.js';
import { alphaAt, type MaxFalseDropPolicy, type Policy } from './policy.js';
import { bestFirst } from './ranking.js';

/** Decimal fractions such as 0.07 times 100 miss the whole number by less than this. */
const ROUNDING_SLACK = 1e-9;

export const DECISION_REASONS = [
  'above_threshold',
  'below_threshold',
  'top_k',
  'not_top_k',
  'score_only',
  'uncalibrated',
] as const;

export type DecisionReason = (typeof DECISION_REASONS)[number];

/** What a policy says about one sample. */
export interface PolicyResult {
  readonly wouldDrop: boolean;
  readonly reason: DecisionReason;
  /** The score below which the policy drops; null where it has no such score. */
  readonly threshold: number | null;
}

/** The samples of one request, at one decision point. */
export interface ScoredSamples {
  /** One per sample, all finite. */
  readonly scores: readonly number[];
  /** Of the decision point. */
  readonly step: number;
  /** Of the decision point, where the probe has one. */
  readonly calibration: CalibrationPoint | undefined;
}

/** Judges the samples of one group: one verdict per sample, in the same order. */
export function applyPolicy(policy: Policy, samples: ScoredSamples): PolicyResult[] {
  const { scores } = samples;
  switch (policy.name) {
    case 'max_false_drop':
      return judgeByAlpha(policy, samples);
    case 'threshold':
      return judgeByThreshold(scores, policy.value);
    case 'top_k':
      return judgeByRank(scores, policy.k);
    case 'top_fraction':
      return judgeByRank(scores, Math.ceil(policy.fraction * scores.length - ROUNDING_SLACK));
    case 'score_only':
      return keepAll(scores, 'score_only');
  }
}

function judgeByAlpha(
  policy: MaxFalseDropPolicy,
  { scores, step, calibration }: ScoredSamples,
): PolicyResult[] {
  const alpha = alphaAt(policy, step);
  if (alpha === undefined) return keepAll(scores, 'score_only');
  const threshold = calibration && conformalThreshold(calibration, alpha);
  return threshold === undefined ? keepAll(scores, 'uncalibrated') : judgeByThreshold(scores, threshold);
}

function keepAll(scores: readonly number[], reason: DecisionReason): PolicyResult[] {
  return scores.map(() => ({ wouldDrop: false, reason, threshold: null }));
}

function judgeByThreshold(scores: readonly number[], threshold: number): PolicyResult[] {
  return scores.map((score) => {
    const wouldDrop = score < threshold;
    return { wouldDrop, reason: wouldDrop ? 'below_threshold' : 'above_threshold', threshold };
  });
}

function judgeByRank(scores: readonly number[], keep: number): PolicyResult[] {
  const kept = new Set(bestFirst(scores).slice(0, keep));
  return scores.map((_, index) => {
    const wouldDrop = !kept.has(index);
    return { wouldDrop, reason: wouldDrop ? 'not_top_k' : 'top_k', threshold: null };
  });
}
