/** Builds the answer from the scores: decisions, percentiles, probabilities, ranks and receipts. */
import { ranks } from '../decision/apply-policy.js';
import { percentile, probabilityGood } from '../decision/calibration.js';
import { decide, type SampleDecision } from '../decision/decide.js';
import { alphaAt, type Policy } from '../decision/policy.js';
import type { ServedProbe } from '../engine/types.js';
import type { FailOpenReason } from '../errors.js';
import type { KeyRing } from '../feedback/keys.js';
import { drawExploration, experimentOf, groupTagger } from '../feedback/exploration.js';
import { newNonce, signReceipt } from '../feedback/receipt.js';
import type { ConditionsFindings } from './score-conditions.js';
import type { FailedOpen, Scored, ScoreResult } from './score-schemas.js';

/** The estimates come from some hundred samples, so more digits would carry no information. */
const PERCENTILE_DIGITS = 2;
const PROBABILITY_DIGITS = 4;

export interface ScoredRequest {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** The decision point's step. */
  readonly step: number;
  /** Finite, one per sample. */
  readonly scores: readonly number[];
  readonly conditions: ConditionsFindings;
  readonly group: string | undefined;
  readonly sampleIds: readonly string[] | undefined;
}

/** @param keys sign the receipts and make the draws of exploration. */
export function scoredAnswer(scored: ScoredRequest, keys: KeyRing): Scored {
  const { probe, policy, step, scores, conditions, group, sampleIds } = scored;
  const calibration = probe.manifest.calibration.find((candidate) => candidate.step === step);
  const rankOf = ranks(scores);
  const experiment = sampleIds ? experimentOf(policy, probe) : '';
  const draws = scores.map((_, index) => drawExploration(keys, experiment, group, sampleIds?.[index]));
  const isExplored = (index: number, rate: number): boolean => (draws[index]?.draw ?? 1) < rate;
  const { plans } = probe.manifest;
  const decisions = decide(policy, { scores, step, calibration, plans }, isExplored, conditions.isKept);
  const receiptFor = receiptWriter(scored, keys);

  const results = decisions.map((decision, index): ScoreResult => {
    const score = scores[index] ?? NaN;
    return {
      index,
      id: sampleIds?.[index] ?? null,
      score,
      percentile: calibration ? rounded(percentile(calibration, score), PERCENTILE_DIGITS) : null,
      p_good: calibration ? rounded(probabilityGood(calibration, score), PROBABILITY_DIGITS) : null,
      rank: rankOf[index] ?? NaN,
      threshold: decision.threshold,
      would_drop: decision.wouldDrop,
      override: decision.override,
      decision: decision.decision,
      reason: decision.reason,
      receipt: receiptFor(decision, score, draws[index]?.sampleTag ?? null),
    };
  });
  const { name: model, version, provider } = probe;
  const { state, foreign } = conditions;
  return {
    outcome: 'scored',
    model,
    version,
    provider,
    policy,
    conditions: state,
    foreign_conditions: [...foreign],
    results,
  };
}

function receiptWriter({ probe, policy, step, group }: ScoredRequest, keys: KeyRing) {
  const { name: model, version, manifest } = probe;
  const { good_at: goodAt, range } = manifest.metric;
  const issuedAt = Date.now();
  const alpha = alphaAt(policy, step) ?? null;
  const tagged = groupTagger(keys, group);
  // Not spread, because that is slow. See docs/adr/0007-cheap-refusals.md.
  return (decision: SampleDecision, score: number, sample: string | null): string =>
    signReceipt(keys, {
      nonce: newNonce(),
      issuedAt,
      model,
      version,
      step,
      sample: sample === null ? null : tagged(sample),
      score,
      policy: policy.name,
      alpha,
      threshold: decision.threshold,
      wouldDrop: decision.wouldDrop,
      override: decision.override,
      decision: decision.decision,
      propensity: decision.propensity,
      lowestPropensity: decision.lowestPropensity,
      goodAt,
      range,
    });
}

/** The answer that means "keep every sample". */
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
