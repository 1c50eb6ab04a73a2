/** Owns what becomes of requests to /score in the metrics: their outcome, their samples and their decisions. */
import type { Policy } from '../decision/policy.js';
import type { ServedProbe } from '../engine/types.js';
import { type ErrorCode, ERRORS, FAIL_OPEN_REASONS, isFailOpenReason } from '../errors.js';
import type { FeedbackMetrics } from './feedback-metrics.js';
import type { Instruments } from './instruments.js';
import { STAGES } from './stages.js';

export const TENTHS = 10;
/** The label of decisions that nothing has overridden, and of requests that nothing has gone wrong with. */
const NONE = 'none';

/** What can be wrong with a request to /score itself. */
const MISTAKES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !isFailOpenReason(code));

/** One answered group, as far as it is counted. */
export interface ScoredEvent {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** The decision point's step. */
  readonly step: number;
  readonly results: readonly CountedResult[];
}

interface CountedResult {
  readonly score: number;
  /** 0 to 100; null without calibration. */
  readonly percentile: number | null;
  readonly decision: string;
  readonly reason: string;
  readonly override: string | null;
}

/**
 * A request without scores: answered with "keep everything", refused for a fault of its own, failed by a fault of the
 * service, or left by its client before there was an answer.
 */
export interface UnscoredEvent {
  readonly outcome: 'failed_open' | 'refused' | 'failed' | 'gone';
  readonly reason: ErrorCode | 'none';
  /** The probe that it asked for, if it got as far. */
  readonly probe?: ServedProbe | undefined;
  /** How many samples it held, if it got as far. */
  readonly samples?: number | undefined;
}

type ProbeLabels = Record<'model' | 'version' | 'provider', string>;

const NO_PROBE: ProbeLabels = { model: '', version: '', provider: '' };

/** The labels of a probe; empty for a request that is not known to belong to any. */
export function probeLabels(probe: ServedProbe | undefined): ProbeLabels {
  if (!probe) return NO_PROBE;
  return { model: probe.name, version: String(probe.version), provider: probe.provider };
}

/** Sets all that the requests to a probe can become to zero. To be called once. */
export function startScoresAtZero(
  { scoreRequests, samples, stageDuration, batchSize, batchDuration }: Instruments,
  labels: ProbeLabels,
): void {
  const kinds = [
    { outcome: 'scored', reason: NONE },
    { outcome: 'gone', reason: NONE },
    ...MISTAKES.map((reason) => ({ outcome: 'refused', reason })),
    ...FAIL_OPEN_REASONS.flatMap((reason) => [
      { outcome: 'failed_open', reason },
      { outcome: 'failed', reason },
    ]),
  ];
  for (const kind of kinds) {
    scoreRequests.inc({ ...labels, ...kind }, 0);
    samples.inc({ ...labels, ...kind }, 0);
  }
  for (const stage of STAGES) stageDuration.zero({ ...labels, stage });
  if (labels.model === '') return;
  batchSize.zero(labels);
  batchDuration.zero(labels);
}

/** Counts a group that got scores and decisions. */
export function countScored(
  instruments: Instruments,
  feedback: FeedbackMetrics,
  { probe, policy, step, results }: ScoredEvent,
): void {
  const { name: model, version, provider, manifest } = probe;
  const [low, high] = manifest.metric.range;
  const kind = { model, version: String(version), provider, outcome: 'scored', reason: NONE };
  instruments.scoreRequests.inc(kind);
  instruments.samples.inc(kind, results.length);
  feedback.expect({ model, version, step, policy });
  const point = { model, version, step };
  instruments.expectScore(point);
  for (const { score, percentile, decision, reason, override } of results) {
    const labels = {
      model,
      version,
      step,
      policy: policy.name,
      decision,
      reason,
      override: override ?? NONE,
    };
    instruments.decisions.inc(labels);
    instruments.score.observe(point, (score - low) / (high - low));
    if (percentile !== null)
      instruments.scoreTenths.inc({ model, version, step, tenth: tenthOf(percentile) });
    if (decision !== 'drop') continue;
    instruments.stepsSaved.inc({ model, version }, manifest.capture.total_steps - step);
    instruments.stepsLost.inc({ model, version }, step);
  }
}

/** Counts a request that got none. */
export function countUnscored(
  instruments: Instruments,
  { outcome, reason, probe, samples }: UnscoredEvent,
): void {
  const { model, version, provider } = probeLabels(probe);
  const kind = { model, version, provider, outcome, reason };
  instruments.scoreRequests.inc(kind);
  instruments.samples.inc(kind, samples ?? 0);
  if (outcome === 'failed_open') instruments.failedOpen.inc({ reason });
}

/** From 1 to 10; the calibration scores themselves fall into all of them alike. */
function tenthOf(percentile: number): number {
  return Math.min(TENTHS, Math.floor(percentile / TENTHS) + 1);
}
