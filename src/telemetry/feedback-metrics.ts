/**
 * The metrics of feedback: weighted sums from which PromQL computes the live correlation and the live false-drop rate, over
 * any window and any number of replicas. docs/decisions.md explains the expressions.
 */
import type { Registry } from 'prom-client';

import { alphaAt, type Policy } from '../decision/policy.js';
import { type AcceptedFeedback, FEEDBACK_REFUSALS, type FeedbackObserver } from '../feedback/intake.js';
import { instrumentFactory } from './instrument-factory.js';

/** From a second to a day. */
const DELAY_BUCKETS = [1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];
/** Requests can give any alpha. Alphas beyond this number share one label, so that the number of series stays bounded. */
const MAX_ALPHAS = 32;
const OTHER_ALPHA = 'other';
const ARMS = ['kept', 'explored'] as const;
const VERDICTS = ['keep', 'drop'] as const;
const GOOD = ['true', 'false'] as const;

/** One policy at one decision point of one probe. */
export interface PolicyAtPoint {
  readonly model: string;
  readonly version: number;
  readonly step: number;
  readonly policy: Policy;
}

export interface FeedbackMetrics {
  readonly observer: FeedbackObserver;
  /** Starts the label sets of a policy at a decision point at zero, once. */
  startAtZero(point: PolicyAtPoint): void;
}

type Instruments = ReturnType<typeof createInstruments>;

/** Registers the metrics of feedback. */
export function createFeedbackMetrics(registry: Registry): FeedbackMetrics {
  const instruments = createInstruments(registry);
  const alphaLabel = boundedLabels(MAX_ALPHAS, OTHER_ALPHA);
  const started = new Set<string>();
  for (const reason of FEEDBACK_REFUSALS) instruments.refused.inc({ reason }, 0);
  return {
    observer: {
      onAccepted: (feedback) => count(instruments, feedback, alphaLabel(feedback.receipt.alpha)),
      onRefused: (reason) => instruments.refused.inc({ reason }),
    },
    startAtZero: ({ model, version, step, policy }) => {
      const alpha = alphaAt(policy, step);
      const label = alphaLabel(alpha ?? null);
      const key = `${model}@${version} ${step} ${policy.name} ${label}`;
      if (started.has(key)) return;
      started.add(key);
      const labels = { model, version, step, policy: policy.name, alpha: label };
      startAtZero(instruments, labels);
      if (alpha !== undefined && label !== OTHER_ALPHA) instruments.alpha.set(labels, alpha);
    },
  };
}

function createInstruments(registry: Registry) {
  const { counter, gauge, histogram } = instrumentFactory(registry);
  const version = ['model', 'version'] as const;
  const point = [...version, 'step'] as const;
  const policy = [...point, 'policy', 'alpha'] as const;
  const sum = (name: string, what: string) =>
    counter(`feedback_${name}_total`, `Sum of ${what} over returned samples`, ...policy, 'verdict', 'good');
  return {
    delay: histogram(
      'feedback_delay_seconds',
      'Time from the decision to its feedback',
      DELAY_BUCKETS,
      ...version,
      'arm',
    ),
    samples: counter('feedback_samples_total', 'Samples whose quality was returned', ...point, 'arm'),
    unweighted: counter(
      'feedback_unweighted_total',
      'Returned samples that are in no sum: at exploration rate 0, dropped samples never return',
      ...point,
    ),
    refused: counter('feedback_refused_total', 'Receipts that were refused', 'reason'),
    clipped: counter(
      'feedback_clipped_total',
      'Values outside the metric’s range, replaced by its end',
      ...version,
      'value',
    ),
    alpha: gauge('policy_alpha', 'The false-drop rate that a policy allows at a step', ...policy),
    sums: {
      w: sum('weight', 'weight'),
      ww: sum('weight_squared', 'weight²'),
      ws: sum('score', 'weight × score'),
      wq: sum('quality', 'weight × quality'),
      wss: sum('score_squared', 'weight × score²'),
      wqq: sum('quality_squared', 'weight × quality²'),
      wsq: sum('score_quality', 'weight × score × quality'),
    },
  };
}

function startAtZero(
  { samples, unweighted, clipped, delay, sums }: Instruments,
  labels: { model: string; version: number; step: number; policy: string; alpha: string },
): void {
  const { model, version, step } = labels;
  for (const arm of ARMS) {
    samples.inc({ model, version, step, arm }, 0);
    delay.startAtZero({ model, version, arm });
  }
  for (const value of ['score', 'quality']) clipped.inc({ model, version, value }, 0);
  unweighted.inc({ model, version, step }, 0);
  for (const verdict of VERDICTS) {
    for (const good of GOOD) {
      for (const sum of Object.values(sums)) sum.inc({ ...labels, verdict, good }, 0);
    }
  }
}

function count(instruments: Instruments, feedback: AcceptedFeedback, alpha: string): void {
  const { receipt, quality: rawQuality, weight, delaySeconds } = feedback;
  const { model, version, step, policy, override, wouldDrop, range, goodAt } = receipt;
  const arm = override === 'explore' ? 'explored' : 'kept';
  instruments.samples.inc({ model, version, step, arm });
  instruments.delay.startAtZero({ model, version, arm });
  instruments.delay.observe({ model, version, arm }, delaySeconds);
  if (weight === undefined) {
    instruments.unweighted.inc({ model, version, step });
    return;
  }
  const [low, high] = range;
  /** Maps the metric's range to [0, 1]. */
  const normalised = (name: string, value: number): number => {
    const share = (value - low) / (high - low);
    const clipped = Math.min(1, Math.max(0, share));
    if (clipped !== share) instruments.clipped.inc({ model, version, value: name });
    return clipped;
  };
  const [score, quality] = [normalised('score', receipt.score), normalised('quality', rawQuality)];
  const verdict = wouldDrop ? 'drop' : 'keep';
  const labels = { model, version, step, policy, alpha, verdict, good: String(rawQuality >= goodAt) };
  const { w, ww, ws, wq, wss, wqq, wsq } = instruments.sums;
  w.inc(labels, weight);
  ww.inc(labels, weight * weight);
  ws.inc(labels, weight * score);
  wq.inc(labels, weight * quality);
  wss.inc(labels, weight * score * score);
  wqq.inc(labels, weight * quality * quality);
  wsq.inc(labels, weight * score * quality);
}

/** The label of an alpha, empty for none. After `limit` different alphas, each new one gets the label `other`. */
function boundedLabels(limit: number, other: string): (alpha: number | null) => string {
  const known = new Set<string>();
  return (alpha) => {
    if (alpha === null) return '';
    const label = String(alpha);
    if (known.has(label)) return label;
    if (known.size >= limit) return other;
    known.add(label);
    return label;
  };
}
