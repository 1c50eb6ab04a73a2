/** Owns which decisions a policy can lead to: their label sets start at zero before the first of them is counted. */
import type { Override } from '../decision/decide.js';
import type { Policy } from '../decision/policy.js';
import type { VerdictReason } from '../decision/verdict.js';

/** Labels of one kind of decision. */
export interface DecisionOutcome {
  readonly decision: 'keep' | 'drop';
  readonly reason: VerdictReason;
  readonly override: Override | 'none';
}

interface Reasons {
  readonly keep: VerdictReason;
  readonly drop?: VerdictReason;
}

const REASONS: Readonly<Record<Policy['name'], Reasons>> = {
  max_false_drop: { keep: 'above_threshold', drop: 'below_threshold' },
  threshold: { keep: 'above_threshold', drop: 'below_threshold' },
  top_k: { keep: 'top_k', drop: 'not_top_k' },
  top_fraction: { keep: 'top_k', drop: 'not_top_k' },
  score_only: { keep: 'score_only' },
};

/** The usual outcomes of a policy: kept, dropped, and saved by what the policy is set to. */
export function outcomesOf(policy: Policy): DecisionOutcome[] {
  const { keep, drop } = REASONS[policy.name];
  const kept = { decision: 'keep', reason: keep, override: 'none' } as const;
  if (!drop) return [kept];
  const saved = (override: Override) => ({ decision: 'keep', reason: drop, override }) as const;
  if (policy.mode === 'shadow') return [kept, saved('shadow')];
  return [
    kept,
    { decision: 'drop', reason: drop, override: 'none' },
    saved('explore'),
    ...(policy.min_keep === undefined ? [] : [saved('min_keep')]),
  ];
}
