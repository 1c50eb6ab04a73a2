/**
 * Predicts how long requests will take, by the cost models of the probes and by the work that waits and runs. The batcher
 * and admission control turn requests away that would be late. See docs/adr/0004-predict-latency-with-two-deviations.md.
 */
import type { ExpectedRequest } from '../types.js';
import { PredictionMargin } from '../prediction-margin.js';
import { samplesThatFitWhole } from '../warm-up/batch-plan.js';
import type { Batch, RequestQueue } from './queue.js';
import type { ScoreRequest } from './score-request.js';

/** The weight of the latest request in the mean cost. */
const MEAN_GAIN = 1 / 16;

/** How cautious the prediction for a request is of which only the headers have come. */
const DEVIATIONS = 2;

/**
 * How late scores are is measured as a share of the predicted time and of this time more, ms. So long predictions, which
 * are off by more, do not make short ones cautious. See docs/adr/0023-tenants-take-turns.md.
 */
const SHORT_MS = 10;

/** A batch that a worker is running. */
interface Run {
  readonly startedAt: number;
  readonly predictedMs: number;
}

export class LatencyPredictor {
  readonly #requestQueue: RequestQueue;
  readonly #runs = new Set<Run>();
  readonly #margin = new PredictionMargin(DEVIATIONS);
  /** The running mean of what requests cost, ms: the prediction for a request whose size is not known yet. */
  #meanCostMs = 0;
  /** How long each admitted request was predicted to take, ms, and when, on the clock of performance.now(). */
  readonly #predictions = new WeakMap<ScoreRequest, { readonly at: number; readonly ms: number }>();

  constructor(requestQueue: RequestQueue) {
    this.#requestQueue = requestQueue;
  }

  /** Counts a run as work until the returned function is called. */
  trackRun({ probe, paddedTokens }: Batch): () => void {
    const run = { startedAt: performance.now(), predictedMs: probe.plan.cost.predict(paddedTokens) };
    this.#runs.add(run);
    return () => this.#runs.delete(run);
  }

  /**
   * How long a request of which only the headers have come will take, with a margin, ms. Each request that is being received
   * counts as one of mean cost, as far as it has come. So neither a slow sender nor an announcement turns others away.
   * @param workers that take work. @param key of its probe, when it is known.
   */
  predictedLatencyMs(
    workers: number,
    { tenant, receiving }: ExpectedRequest,
    key: number | undefined,
  ): number {
    const own = receiving.find((sender) => sender.tenant === tenant)?.requests ?? 0;
    let ahead = own;
    for (const { tenant: other, requests } of receiving)
      if (other !== tenant) ahead += Math.min(requests, own + 1);
    const receivingMs = ((ahead + 1) * this.#meanCostMs) / Math.max(1, workers);
    const ms = this.#waitMs(workers, tenant, this.#meanCostMs, key) + receivingMs;
    return ms + this.#margin.margin * (ms + SHORT_MS);
  }

  /** How long a request that has come in full will take, without a margin, ms. @param workers that take work. */
  latencyMs(request: ScoreRequest, workers: number): number {
    const ownMs = costMs(request);
    return this.#waitMs(workers, request.tenant, ownMs, request.probe.key) + ownMs;
  }

  /** Records that a request is admitted. @param workers that take work; Infinity when one is idle. */
  recordAdmitted(request: ScoreRequest, workers: number): void {
    const ownMs = costMs(request);
    this.#predictions.set(request, { at: performance.now(), ms: this.latencyMs(request, workers) });
    this.#meanCostMs += MEAN_GAIN * (ownMs - this.#meanCostMs);
  }

  /** Records that a request has its scores, and learns from how far the prediction was off. */
  recordScored(request: ScoreRequest): void {
    const predicted = this.#predictions.get(request);
    if (!predicted) return;
    const { at, ms } = predicted;
    this.#margin.learn((performance.now() - at - ms) / (ms + SHORT_MS));
  }

  /**
   * The requests for the next probe that would miss their deadlines even if their batch ran now. At least one request
   * is always kept: a worker is idle, and the run shows what runs really cost.
   */
  predictedLate(): ScoreRequest[] {
    const next = this.#requestQueue.next();
    const requests = next?.requests() ?? [];
    if (!next || requests.length === 1) return [];
    const { cost, maxTokens } = next.probe.plan;
    const end = performance.now() + cost.predict(Math.min(next.waiting.tokens, maxTokens));
    const late = requests.filter((request) => request.deadline < end);
    return late.length < requests.length ? late : late.slice(0, -1);
  }

  /** How long the workers will be busy with what comes before a request that takes `ownMs`, ms. */
  #waitMs(workers: number, tenant: string, ownMs: number, key: number | undefined): number {
    const now = performance.now();
    let workMs = this.#requestQueue.workAheadMs(tenant, ownMs, key);
    for (const { startedAt, predictedMs } of this.#runs) workMs += Math.max(0, startedAt + predictedMs - now);
    return workMs / Math.max(1, workers);
  }
}

/** The cost of a run that holds this request alone; when it must be cut, of its largest slice, ms. */
function costMs({ probe, samples, tokens }: ScoreRequest): number {
  const { plan } = probe;
  return plan.cost.predict(Math.min(samples, samplesThatFitWhole(plan, tokens)) * tokens);
}
