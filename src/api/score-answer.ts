/** Owns how scores become the answer: decisions by the policy, beside what each score means. */
import { percentile, probabilityGood } from '../decision/calibration.js';
import { judge, type Policy } from '../decision/policy.js';
import { ranks } from '../decision/ranking.js';
import type { CalibrationPoint } from '../engine/manifest.js';
import type { ServedProbe } from '../engine/types.js';
import type { FailOpenReason } from '../errors.js';
import type { FailedOpen, Scored, ScoreResult } from './score-schemas.js';

/** Estimates from some hundred samples: more digits would only pretend. */
const PERCENTILE_DIGITS = 2;
const PROBABILITY_DIGITS = 4;

export interface ScoredGroup {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** Finite, one per sample. */
  readonly scores: readonly number[];
  readonly sampleIds: readonly string[] | undefined;
  readonly calibration: CalibrationPoint | undefined;
}

export function scoredAnswer({ probe, policy, scores, sampleIds, calibration }: ScoredGroup): Scored {
  const places = ranks(scores);
  const results = judge(policy, scores, calibration).map((verdict, index): ScoreResult => {
    const score = scores[index] ?? NaN;
    return {
      index,
      id: sampleIds?.[index] ?? null,
      score,
      percentile: calibration ? rounded(percentile(calibration, score), PERCENTILE_DIGITS) : null,
      p_good: calibration ? rounded(probabilityGood(calibration, score), PROBABILITY_DIGITS) : null,
      rank: places[index] ?? NaN,
      threshold: verdict.threshold,
      would_drop: verdict.wouldDrop,
      override: null,
      decision: verdict.wouldDrop ? 'drop' : 'keep',
      reason: verdict.reason,
    };
  });
  const { name: model, version, provider } = probe;
  return { outcome: 'scored', model, version, provider, policy, results };
}

/** The answer that costs no image. */
export function failedOpenAnswer(reason: FailOpenReason, probe?: ServedProbe, policy?: Policy): FailedOpen {
  return {
    outcome: 'failed_open',
    reason,
    model: probe?.name ?? null,
    version: probe?.version ?? null,
    provider: probe?.provider ?? null,
    policy: policy ?? null,
    results: [],
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
