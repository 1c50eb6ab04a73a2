/**
 * Predicts how long requests will take, by the cost models of the probes and by the work that waits and runs. The batcher
 * and admission control turn requests away that would be late. See docs/adr/0004-predict-latency-with-two-deviations.md.
 */
import { PredictionMargin } from '../prediction-margin.js';
import { samplesThatFitWhole } from '../warm-up/batch-plan.js';
import { type Batch, type RequestQueue, waitingIn } from './queue.js';
import type { ScoreRequest } from './score-request.js';

/** The weight of the latest request in the mean cost. */
const MEAN_GAIN = 1 / 16;

/** How cautious the prediction for a request is of which only the headers have come. */
const DEVIATIONS = 2;

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
  /** When each admitted request was predicted to have its scores, on the clock of performance.now(). */
  readonly #predictedEnd = new WeakMap<ScoreRequest, number>();

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
   * How long a request of which only the headers have come will take, with a margin, ms.
   * @param workers that take work. @param receiving requests that are being received before it; each counts as one of mean
   * cost, so that a slow sender of a huge body does not turn all others away.
   */
  predictedLatencyMs(workers: number, receiving: number): number {
    const receivingMs = ((receiving + 1) * this.#meanCostMs) / Math.max(1, workers);
    return this.#waitMs(workers) + receivingMs + this.#margin.marginMs;
  }

  /** How long a request that has come in full will take, without a margin, ms. @param workers that take work. */
  latencyMs(request: ScoreRequest, workers: number): number {
    return this.#waitMs(workers) + costMs(request);
  }

  /** Records that a request is admitted. @param workers that take work; Infinity when one is idle. */
  recordAdmitted(request: ScoreRequest, workers: number): void {
    const ownMs = costMs(request);
    this.#predictedEnd.set(request, performance.now() + this.#waitMs(workers) + ownMs);
    this.#meanCostMs += MEAN_GAIN * (ownMs - this.#meanCostMs);
  }

  /** Records that a request has its scores, and learns from how far the prediction was off. */
  recordScored(request: ScoreRequest): void {
    const predicted = this.#predictedEnd.get(request);
    if (predicted !== undefined) this.#margin.learn(performance.now() - predicted);
  }

  /**
   * The requests at the head of the queue that would miss their deadlines even if their batch ran now. At least one request
   * is always kept: a worker is idle, and the run shows what runs really cost.
   */
  predictedLate(): ScoreRequest[] {
    const requests = this.#requestQueue.next();
    const [head] = requests;
    if (!head || requests.length === 1) return [];
    const { cost, maxTokens } = head.probe.plan;
    const end = performance.now() + cost.predict(Math.min(waitingIn(requests).tokens, maxTokens));
    const late = requests.filter((request) => request.deadline < end);
    return late.length < requests.length ? late : late.slice(0, -1);
  }

  /** How long the work that waits and runs will keep the workers busy, ms. */
  #waitMs(workers: number): number {
    const now = performance.now();
    let workMs = this.#requestQueue.workMs();
    for (const { startedAt, predictedMs } of this.#runs) workMs += Math.max(0, startedAt + predictedMs - now);
    return workMs / Math.max(1, workers);
  }
}

/** The cost of a run that holds this request alone; when it must be cut, of its largest slice, ms. */
function costMs({ probe, samples, tokens }: ScoreRequest): number {
  const { plan } = probe;
  return plan.cost.predict(Math.min(samples, samplesThatFitWhole(plan, tokens)) * tokens);
}
