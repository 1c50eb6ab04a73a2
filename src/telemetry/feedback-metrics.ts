/**
 * Owns the metrics of feedback: sums from which PromQL makes the live correlation and the live false-drop rate, over
 * any window and any number of replicas. docs/decisions.md explains the expressions.
 */
import type { Registry } from 'prom-client';

import { alphaAt, type Policy } from '../decision/policy.js';
import { type FeedbackObserver, type Outcome, FEEDBACK_REFUSALS } from '../feedback/intake.js';
import { makersFor, startingAtZero } from './makers.js';

/** From a second to a day. */
const DELAY_BUCKETS = [1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];
/** Requests may bring any alpha: those beyond this many share one label, lest there be series without end. */
const MAX_ALPHAS = 32;
const OTHER_ALPHA = 'other';
const ARMS = ['kept', 'explored'] as const;
const VERDICTS = ['keep', 'drop'] as const;
const TRUTHS = ['true', 'false'] as const;

/** One policy at one decision point of one probe. */
export interface DecisionKind {
  readonly model: string;
  readonly version: number;
  readonly step: number;
  readonly policy: Policy;
}

export interface FeedbackMetrics {
  readonly observer: FeedbackObserver;
  /** Starts the label sets of a kind of decision at zero, so that no first increase is lost. */
  expect(kind: DecisionKind): void;
}

type Instruments = ReturnType<typeof createInstruments>;
type SumLabels = Record<
  'model' | 'version' | 'step' | 'policy' | 'alpha' | 'verdict' | 'good',
  string | number
>;

/** Registers the metrics of feedback. */
export function createFeedbackMetrics(registry: Registry): FeedbackMetrics {
  const instruments = createInstruments(registry);
  const alphaLabel = boundedLabels(MAX_ALPHAS, OTHER_ALPHA);
  const expected = new Set<string>();
  for (const reason of FEEDBACK_REFUSALS) instruments.refused.inc({ reason }, 0);
  return {
    observer: {
      accepted: (outcome) => count(instruments, outcome, alphaLabel(outcome.receipt.alpha)),
      refused: (reason) => instruments.refused.inc({ reason }),
    },
    expect: ({ model, version, step, policy }) => {
      const alpha = alphaAt(policy, step);
      const label = alphaLabel(alpha ?? null);
      const key = `${model}@${version} ${step} ${policy.name} ${label}`;
      if (expected.has(key)) return;
      expected.add(key);
      const labels = { model, version, step, policy: policy.name, alpha: label };
      startAtZero(instruments, labels);
      if (alpha !== undefined && label !== OTHER_ALPHA) instruments.alpha.set(labels, alpha);
    },
  };
}

function createInstruments(registry: Registry) {
  const { counter, gauge, histogram } = makersFor(registry);
  const point = ['model', 'version', 'step'] as const;
  const kind = [...point, 'policy', 'alpha'] as const;
  const sum = (name: string, what: string) =>
    counter(`feedback_${name}_total`, `Sum of ${what} over returned samples`, ...kind, 'verdict', 'good');
  const delay = histogram(
    'feedback_delay_seconds',
    'From the decision to its feedback',
    DELAY_BUCKETS,
    'model',
    'version',
    'arm',
  );
  return {
    samples: counter('feedback_samples_total', 'Samples whose quality came back', ...point, 'arm'),
    unweighted: counter(
      'feedback_unweighted_total',
      'Returned samples that no sum holds: at exploration rate 0 their dropped like are never heard of',
      ...point,
    ),
    refused: counter('feedback_refused_total', 'Receipts that were refused', 'reason'),
    clipped: counter(
      'feedback_clipped_total',
      'Values outside the metric’s range, taken as its end',
      'model',
      'version',
      'value',
    ),
    delay,
    expectDelay: startingAtZero(delay, 'model', 'version', 'arm'),
    alpha: gauge('policy_alpha', 'The false-drop rate that a policy allows at a step', ...kind),
    sums: {
      w: sum('weight', 'w'),
      ww: sum('weight_squared', 'w²'),
      ws: sum('score', 'w × score'),
      wq: sum('quality', 'w × quality'),
      wss: sum('score_squared', 'w × score²'),
      wqq: sum('quality_squared', 'w × quality²'),
      wsq: sum('score_quality', 'w × score × quality'),
    },
  };
}

function startAtZero(
  { samples, unweighted, clipped, expectDelay, sums }: Instruments,
  labels: { model: string; version: number; step: number; policy: string; alpha: string },
): void {
  const { model, version, step } = labels;
  for (const arm of ARMS) {
    samples.inc({ model, version, step, arm }, 0);
    expectDelay({ model, version, arm });
  }
  for (const value of ['score', 'quality']) clipped.inc({ model, version, value }, 0);
  unweighted.inc({ model, version, step }, 0);
  for (const verdict of VERDICTS) {
    for (const good of TRUTHS) {
      for (const sum of Object.values(sums)) sum.inc({ ...labels, verdict, good }, 0);
    }
  }
}

function count(instruments: Instruments, outcome: Outcome, alpha: string): void {
  const { receipt, quality, weight, delaySeconds } = outcome;
  const { model, version, step, policy, override, wouldDrop, range, goodAt } = receipt;
  const arm = override === 'explore' ? 'explored' : 'kept';
  instruments.samples.inc({ model, version, step, arm });
  instruments.expectDelay({ model, version, arm });
  instruments.delay.observe({ model, version, arm }, delaySeconds);
  if (weight === undefined) {
    instruments.unweighted.inc({ model, version, step });
    return;
  }
  const inUnits = (name: string, value: number): number => {
    const share = shareOf(range, value);
    const clipped = Math.min(1, Math.max(0, share));
    if (clipped !== share) instruments.clipped.inc({ model, version, value: name });
    return clipped;
  };
  const verdict = wouldDrop ? 'drop' : 'keep';
  const labels = { model, version, step, policy, alpha, verdict, good: String(quality >= goodAt) };
  addMoments(instruments.sums, labels, weight, inUnits('score', receipt.score), inUnits('quality', quality));
}

function addMoments(
  { w, ww, ws, wq, wss, wqq, wsq }: Instruments['sums'],
  labels: SumLabels,
  weight: number,
  score: number,
  quality: number,
): void {
  w.inc(labels, weight);
  ww.inc(labels, weight * weight);
  ws.inc(labels, weight * score);
  wq.inc(labels, weight * quality);
  wss.inc(labels, weight * score * score);
  wqq.inc(labels, weight * quality * quality);
  wsq.inc(labels, weight * score * quality);
}

/** Where a value lies between the ends of a range, 0 at the low one and 1 at the high one. */
function shareOf([low, high]: readonly [number, number], value: number): number {
  return (value - low) / (high - low);
}

/** The label of an alpha, empty for none; after `limit` different ones every new one is called `rest`. */
function boundedLabels(limit: number, rest: string): (alpha: number | null) => string {
  const known = new Set<string>();
  return (alpha) => {
    if (alpha === null) return '';
    const label = String(alpha);
    if (known.has(label)) return label;
    if (known.size >= limit) return rest;
    known.add(label);
    return label;
  };
}
