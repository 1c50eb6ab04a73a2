/** A calibration with obvious thresholds, and every policy with parameters that fit it. */

/** The good scores are 0.01, 0.02 ... 0.99. */
export const calibration = {
  step: 5,
  captions: 99,
  samples: 99,
  confidence: null,
  scores: [0, 1],
  good_scores: Array.from({ length: 99 }, (_, index) => (index + 1) / 100),
  p_good: { score: [0, 1], probability: [0, 1] },
};

/** Of scores spread over [0, 1], each policy drops some and keeps some; score_only drops none. */
export const EVERY_RULE = [
  { name: 'max_false_drop', alpha: 0.3 },
  { name: 'max_false_drop', alphas: { 5: 0.3 } },
  { name: 'threshold', value: 0.3 },
  { name: 'top_k', k: 2 },
  { name: 'top_fraction', fraction: 0.4 },
  { name: 'score_only' },
] as const;
