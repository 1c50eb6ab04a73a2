/**
 * Owns the step from what a policy wants to what is done: shadow mode, the least that is kept, and exploration may each
 * save a sample that the policy would drop. Nothing drops a sample that the policy keeps.
 */
import { exploreRate, type Policy } from './policy.js';
import { bestFirst } from './ranking.js';
import { applyPolicy, type ScoredSamples, type PolicyResult, type DecisionReason } from './apply-policy.js';

export const OVERRIDES = ['explore', 'shadow', 'min_keep'] as const;

export type Override = (typeof OVERRIDES)[number];

/** What is done with one sample, and how likely that was: what feedback needs to be weighed. */
export interface SampleDecision extends PolicyResult {
  /** Why the sample is kept although the policy would drop it. */
  readonly override: Override | null;
  readonly decision: 'keep' | 'drop';
  /** The chance, over the draw of exploration, that this sample is kept: 0 to 1. */
  readonly propensity: number;
  /**
   * The chance that a sample of this kind is kept even if the policy would drop it; 1 where the policy drops nothing.
   * At 0 the dropped ones are never heard of, and no statistic over all samples can be had.
   */
  readonly survival: number;
}

const DROPS_NOTHING: ReadonlySet<DecisionReason> = new Set(['score_only', 'uncalibrated']);

/**
 * Decides on the samples of one group.
 * @param isExplored tells whether exploration at this rate saves the sample at this index.
 * @returns one decision per sample, in the same order.
 */
export function decide(
  policy: Policy,
  samples: ScoredSamples,
  isExplored: (index: number, rate: number) => boolean,
): SampleDecision[] {
  const rate = exploreRate(policy);
  // The best of all samples and not of the explored ones: whether one sample is explored must not decide on another.
  const guarded = new Set(policy.min_keep ? bestFirst(samples.scores).slice(0, policy.min_keep) : []);
  const shadow = policy.mode === 'shadow';

  const saves = (index: number): Override | null => {
    if (shadow) return 'shadow';
    if (guarded.has(index)) return 'min_keep';
    return isExplored(index, rate) ? 'explore' : null;
  };
  return applyPolicy(policy, samples).map(({ wouldDrop, reason, threshold }, index): SampleDecision => {
    const override = wouldDrop ? saves(index) : null;
    const isDropped = wouldDrop && override === null;
    const isChance = isDropped || override === 'explore';
    return {
      wouldDrop,
      reason,
      threshold,
      override,
      decision: isDropped ? 'drop' : 'keep',
      propensity: isChance ? rate : 1,
      survival: shadow || DROPS_NOTHING.has(reason) ? 1 : rate,
    };
  });
}
