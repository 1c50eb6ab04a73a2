/** Owns which decisions a policy can lead to: their label sets start at zero before the first of them is counted. */
import type { Override } from '../decision/decide.js';
import type { Policy } from '../decision/policy.js';
import type { DecisionReason } from '../decision/apply-policy.js';

/** Labels of one kind of decision. */
export interface DecisionOutcome {
  readonly decision: 'keep' | 'drop';
  readonly reason: DecisionReason;
  readonly override: Override | 'none';
}

interface Reasons {
  readonly keep: readonly DecisionReason[];
  readonly drop?: DecisionReason;
}

const REASONS: Readonly<Record<Policy['name'], Reasons>> = {
  // At a step that it does not name it only scores.
  max_false_drop: { keep: ['above_threshold', 'uncalibrated', 'score_only'], drop: 'below_threshold' },
  threshold: { keep: ['above_threshold'], drop: 'below_threshold' },
  top_k: { keep: ['top_k'], drop: 'not_top_k' },
  top_fraction: { keep: ['top_k'], drop: 'not_top_k' },
  score_only: { keep: ['score_only'] },
};

/** The outcomes of a policy: kept, dropped, and saved by what the policy is set to. */
export function outcomesOf(policy: Policy): DecisionOutcome[] {
  const { keep, drop } = REASONS[policy.name];
  const kept = keep.map((reason) => ({ decision: 'keep', reason, override: 'none' }) as const);
  if (!drop) return kept;
  const saved = (override: Override) => ({ decision: 'keep', reason: drop, override }) as const;
  if (policy.mode === 'shadow') return [...kept, saved('shadow')];
  return [
    ...kept,
    { decision: 'drop', reason: drop, override: 'none' },
    saved('explore'),
    ...(policy.min_keep === undefined ? [] : [saved('min_keep')]),
  ];
}
