/**
 * Turns a policy's results into decisions. Shadow mode, foreign conditions, min_keep and exploration can each keep a sample
 * that the policy would drop; no override drops a sample that the policy keeps.
 */
import {
  applyPolicy,
  bestFirst,
  type DecisionReason,
  type PolicyResult,
  type ScoredSamples,
} from './apply-policy.js';
import { explorationRate, type Policy } from './policy.js';

export const OVERRIDES = ['explore', 'shadow', 'min_keep', 'foreign_conditions'] as const;

export type Override = (typeof OVERRIDES)[number];

/** The decision on one sample, with the probabilities by which feedback is weighted. */
export interface SampleDecision extends PolicyResult {
  /** Why the sample is kept although the policy would drop it. */
  readonly override: Override | null;
  readonly decision: 'keep' | 'drop';
  /** The probability, over the exploration draw, that this sample is kept: 0 to 1. */
  readonly propensity: number;
  /**
   * The smallest propensity that a sample can have under this policy here; 1 when nothing can be dropped. At 0, dropped
   * samples never return feedback, so no statistic over all samples can be estimated.
   */
  readonly lowestPropensity: number;
}

const REASONS_WITHOUT_DROPS: ReadonlySet<DecisionReason> = new Set(['score_only', 'uncalibrated']);

/**
 * Decides on the samples of one group.
 * @param isExplored whether exploration at this rate keeps the sample at this index.
 * @param isForeign whether all are kept because their images are drawn under foreign conditions.
 * @returns one decision per sample, in the same order.
 */
export function decide(
  policy: Policy,
  samples: ScoredSamples,
  isExplored: (index: number, rate: number) => boolean,
  isForeign = false,
): SampleDecision[] {
  const rate = explorationRate(policy);
  // The best of all samples, explored or not: otherwise the draw of one sample would change the decision on another.
  const best = new Set(policy.min_keep ? bestFirst(samples.scores).slice(0, policy.min_keep) : []);
  const isShadow = policy.mode === 'shadow';

  const overrideAt = (index: number): Override | null => {
    if (isShadow) return 'shadow';
    if (isForeign) return 'foreign_conditions';
    if (best.has(index)) return 'min_keep';
    return isExplored(index, rate) ? 'explore' : null;
  };
  return applyPolicy(policy, samples).map(({ wouldDrop, reason, threshold }, index): SampleDecision => {
    const override = wouldDrop ? overrideAt(index) : null;
    const isDropped = wouldDrop && override === null;
    const isByChance = isDropped || override === 'explore';
    return {
      wouldDrop,
      reason,
      threshold,
      override,
      decision: isDropped ? 'drop' : 'keep',
      propensity: isByChance ? rate : 1,
      lowestPropensity: isShadow || isForeign || REASONS_WITHOUT_DROPS.has(reason) ? 1 : rate,
    };
  });
}
