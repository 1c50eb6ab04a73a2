/** A calibration with obvious thresholds, plans, and every policy with parameters that fit it. */

import type { Plan } from '../../src/probe/plan.js';

/** The good scores are 0.01, 0.02 ... 0.99. */
export const calibration = {
  step: 5,
  captions: 99,
  samples: 99,
  false_drop: null,
  scores: [0, 1],
  good_scores: Array.from({ length: 99 }, (_, index) => (index + 1) / 100),
  p_good: { score: [0, 1], probability: [0, 1] },
};

const NONE = { value: null, low: null, high: null };

export const PLANS: readonly Plan[] = [
  {
    budget: 2,
    seeds: 5,
    keep: { 5: 2 },
    calls: 65,
    pick: 1,
    final: 'metric',
    expected: { quality: NONE, best_of_k: NONE, gain: NONE, gap_closed: NONE, best_of_k_gap_closed: NONE },
  },
];

/** Of scores spread over [0, 1], each policy drops some and keeps some; score_only drops none. */
export const EVERY_RULE = [
  { name: 'max_false_drop', alpha: 0.3 },
  { name: 'max_false_drop', alphas: { 5: 0.3 } },
  { name: 'threshold', value: 0.3 },
  { name: 'top_k', k: 2 },
  { name: 'top_fraction', fraction: 0.4 },
  { name: 'plan', budget: 2 },
  { name: 'plan', seeds: 5, keep: { 5: 2 } },
  { name: 'score_only' },
] as const;
