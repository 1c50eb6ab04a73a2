/** Lists the decisions that a policy can lead to, so that their label sets start at zero before the first is counted. */
import type { DecisionReason } from '../decision/apply-policy.js';
import type { Override } from '../decision/decide.js';
import type { Policy } from '../decision/policy.js';

/** The labels of one kind of decision. */
export interface PossibleDecision {
  readonly decision: 'keep' | 'drop';
  readonly reason: DecisionReason;
  readonly override: Override | 'none';
}

interface Reasons {
  readonly keep: readonly DecisionReason[];
  readonly drop?: DecisionReason;
}

const REASONS: Readonly<Record<Policy['name'], Reasons>> = {
  // score_only: at a step for which `alphas` has no entry.
  max_false_drop: { keep: ['above_threshold', 'uncalibrated', 'score_only'], drop: 'below_threshold' },
  threshold: { keep: ['above_threshold'], drop: 'below_threshold' },
  top_k: { keep: ['top_k'], drop: 'not_top_k' },
  top_fraction: { keep: ['top_k'], drop: 'not_top_k' },
  // score_only: at a step that is not in the plan; uncalibrated: the probe has no plan for the budget.
  plan: { keep: ['in_plan', 'score_only', 'uncalibrated'], drop: 'not_in_plan' },
  score_only: { keep: ['score_only'] },
};

export function possibleDecisions(policy: Policy): PossibleDecision[] {
  const { keep, drop } = REASONS[policy.name];
  const kept = keep.map((reason): PossibleDecision => ({ decision: 'keep', reason, override: 'none' }));
  if (!drop) return kept;
  const keptBy = (override: Override): PossibleDecision => ({ decision: 'keep', reason: drop, override });
  if (policy.mode === 'shadow') return [...kept, keptBy('shadow')];
  return [
    ...kept,
    { decision: 'drop', reason: drop, override: 'none' },
    keptBy('explore'),
    keptBy('foreign_conditions'),
    ...(policy.min_keep === undefined ? [] : [keptBy('min_keep')]),
  ];
}
