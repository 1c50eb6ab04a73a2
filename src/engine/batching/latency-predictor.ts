/**
 * Owns the prediction whether a request will have its scores in time. It never speaks against a request that could run
 * at once: however wrong the cost line is, an idle service refuses nothing, and what then runs puts the line right.
 */
import type { RequestQueue, Batch } from './queue.js';
import { samplesThatFitWhole } from '../warm-up/batch-plan.js';
import { PredictionMargin } from '../prediction-margin.js';
import type { ScoreRequest } from './score-request.js';

/** How much of what a request costs is taken over into the running mean. */
const OWN_COST_GAIN = 1 / 16;

/**
 * How cautious it is before a body has come. A request that is turned down for nothing is as lost as one that is let in for
 * nothing: with twice the caution, a service at twice its capacity gave an eighth fewer scores in time.
 */
const DEVIATIONS = 2;

/** A run under way. */
interface Run {
  readonly startedAt: number;
  readonly predictedMs: number;
}

export class LatencyPredictor {
  readonly #requestQueue: RequestQueue;
  readonly #runs = new Set<Run>();
  readonly #error = new PredictionMargin(DEVIATIONS);
  /** What a request cost lately, for those of which nothing is known yet, ms. */
  #usualOwnMs = 0;
  /** When each request was predicted to have its scores. */
  readonly #expected = new WeakMap<ScoreRequest, number>();

  constructor(requestQueue: RequestQueue) {
    this.#requestQueue = requestQueue;
  }

  /** Notes a run that begins. @returns to be called when it has ended. */
  begin(batch: Batch): () => void {
    const { cost } = batch.probe.plan;
    const run = { startedAt: performance.now(), predictedMs: cost.predict(batch.paddedTokens) };
    this.#runs.add(run);
    return () => this.#runs.delete(run);
  }

  /**
   * How long it may well take until a request has its scores of which nothing has come but its headers, ms. With a margin,
   * so that few are let in that will be late.
   * @param threads that take work. @param receiving requests that are being received before it: they count as usual ones,
   * whatever they announce, lest a single slow sender of a huge body turns all others away.
   */
  predictedLatencyMs(threads: number, receiving: number): number {
    const comingMs = ((receiving + 1) * this.#usualOwnMs) / Math.max(1, threads);
    return this.#aheadMs(threads) + comingMs + this.#error.marginMs;
  }

  /**
   * How long a request is likely to need, ms. Without a margin: one that has come in full is given up only if it is late.
   * @param threads that take work.
   */
  needMs(request: ScoreRequest, threads: number): number {
    return this.#aheadMs(threads) + ownMs(request);
  }

  /**
   * Notes a request that is let in, to learn from when it has its scores. @param threads that take work; Infinity where
   * one is idle.
   */
  expect(request: ScoreRequest, threads: number): void {
    const own = ownMs(request);
    this.#expected.set(request, performance.now() + this.#aheadMs(threads) + own);
    this.#usualOwnMs += OWN_COST_GAIN * (own - this.#usualOwnMs);
  }

  /** Notes that a request has its scores. */
  fulfilled(request: ScoreRequest): void {
    const expected = this.#expected.get(request);
    if (expected !== undefined) this.#error.learn(performance.now() - expected);
  }

  #aheadMs(threads: number): number {
    const now = performance.now();
    let ahead = this.#requestQueue.workMs();
    for (const { startedAt, predictedMs } of this.#runs) ahead += Math.max(0, startedAt + predictedMs - now);
    return ahead / Math.max(1, threads);
  }

  /**
   * What of the next queue would end after its deadline even if its batch ran now. One request is always left out: an
   * idle thread has nothing better to do, and its run shows what runs really cost.
   */
  predictedLate(): ScoreRequest[] {
    const queue = this.#requestQueue.next();
    const [head] = queue;
    if (!head || queue.length === 1) return [];
    const { cost, maxTokens } = head.probe.plan;
    const waiting = queue.reduce((sum, request) => sum + request.waiting * request.tokens, 0);
    const end = performance.now() + cost.predict(Math.min(waiting, maxTokens));
    const late = queue.filter((request) => request.deadline < end);
    return late.length < queue.length ? late : late.slice(0, -1);
  }
}

/** A run that holds this request alone; of one that is cut, the largest piece. */
function ownMs({ probe, samples, tokens }: ScoreRequest): number {
  const { plan } = probe;
  return plan.cost.predict(Math.min(samples, samplesThatFitWhole(plan, tokens)) * tokens);
}
