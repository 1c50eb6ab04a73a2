/**
 * The metrics of feedback: weighted sums from which PromQL computes the live correlation and the live false-drop rate, over
 * any window and any number of replicas. docs/decisions.md explains the expressions.
 */
import type { Registry } from 'prom-client';

import { type Policies, policiesInForce } from '../config/policies.js';
import { alphaAt, alphasOf, type Policy } from '../decision/policy.js';
import { type AcceptedFeedback, FEEDBACK_REFUSALS, type FeedbackObserver } from '../feedback/intake.js';
import { bucketsUpTo, instrumentFactory } from './instrument-factory.js';

/** From a second to a day, and on to the lifetime of receipts. */
const DELAY_BUCKETS = [1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];
/**
 * Requests can give any alpha. Beyond this number they share one label, so that the number of series stays bounded. The
 * alphas of the operator's policies always have their own: alerts join on it.
 */
const MAX_FOREIGN_ALPHAS = 32;
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
  readonly startAtZero: (point: PolicyAtPoint) => void;
  /** @param read returns the operator's policies now in force. */
  readonly watchPolicies: (read: () => Policies) => void;
}

type Instruments = ReturnType<typeof createInstruments>;

/** Registers the metrics of feedback. @param lifetimeSeconds the longest delay of feedback. */
export function createFeedbackMetrics(registry: Registry, lifetimeSeconds = 0): FeedbackMetrics {
  const instruments = createInstruments(registry, lifetimeSeconds);
  const alphas = new AlphaLabels();
  const alphaLabel = (alpha: number | null): string => alphas.labelOf(alpha);
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
    watchPolicies: (read) => alphas.watch(read),
  };
}

function createInstruments(registry: Registry, lifetimeSeconds: number) {
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
      bucketsUpTo(DELAY_BUCKETS, lifetimeSeconds),
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

/** The label of each alpha. */
class AlphaLabels {
  /** Every alpha that an operator's policy has had. */
  readonly #own = new Set<number>();
  readonly #foreign = new Set<number>();
  #policies: Policies | undefined;
  #readPolicies: (() => Policies) | undefined;

  watch(readPolicies: () => Policies): void {
    this.#readPolicies = readPolicies;
  }

  /** Empty for none. */
  labelOf(alpha: number | null): string {
    if (alpha === null) return '';
    this.#addOwn();
    if (this.#own.has(alpha) || this.#foreign.has(alpha)) return String(alpha);
    if (this.#foreign.size >= MAX_FOREIGN_ALPHAS) return OTHER_ALPHA;
    this.#foreign.add(alpha);
    return String(alpha);
  }

  #addOwn(): void {
    const policies = this.#readPolicies?.();
    if (policies === this.#policies || !policies) return;
    this.#policies = policies;
    for (const alpha of policiesInForce(policies).flatMap(alphasOf)) {
      this.#own.add(alpha);
      this.#foreign.delete(alpha);
    }
  }
}
