/**
 * Predicts how long requests will take, by the cost models of the probes and by the work that waits and runs. The batcher
 * and admission control turn requests away that would be late. See docs/adr/0004-predict-latency.md.
 */
import { PredictionMargin } from '../../prediction-margin.js';
import type { ExpectedRequest, ServedProbe } from '../types.js';
import type { RequestQueue } from './queue.js';
import type { Batch, ScoreRequest } from './score-request.js';

/** The weight of the latest request in the mean cost. */
const MEAN_GAIN = 1 / 16;

/**
 * How late scores are is measured as a share of the predicted time and of this time more, ms. So long predictions, which
 * are off by more, do not make short ones cautious. See docs/adr/0023-tenants-take-turns.md.
 */
const SHORT_MS = 10;

export class LatencyPredictor {
  readonly #requestQueue: RequestQueue;
  /** The batches that workers are running. */
  readonly #running: ReadonlyMap<Batch, unknown>;
  readonly #margin = new PredictionMargin();
  /** The running mean of what requests cost, ms: the prediction for a request whose size is not known yet. */
  #meanCostMs = 0;

  constructor(requestQueue: RequestQueue, running: ReadonlyMap<Batch, unknown>) {
    this.#requestQueue = requestQueue;
    this.#running = running;
  }

  /**
   * How long a request of which only the headers have come will take, with a margin, ms. Each request that is being received
   * counts as one of mean cost, as far as it has come. So neither a slow sender nor an announcement turns others away.
   * @param workers that take work.
   */
  predictedLatencyMs(workers: number, { tenant, receiving, probe }: ExpectedRequest): number {
    const own = receiving.find((sender) => sender.tenant === tenant)?.requests ?? 0;
    const ahead = receiving.reduce((sum, { requests }) => sum + Math.min(requests, own + 1), 0);
    const receivingMs = ((ahead + 1) * this.#meanCostMs) / Math.max(1, workers);
    const ms = this.#waitMs(workers, tenant, this.#meanCostMs, probe) + receivingMs;
    return ms + this.#margin.margin * (ms + SHORT_MS);
  }

  /** How long a request that has come in full will take when no worker is idle, without a margin, ms. */
  latencyMs(request: ScoreRequest, workers: number): number {
    const { costMs, tenant, probe } = request;
    return this.#waitMs(workers, tenant, costMs, probe) + costMs;
  }

  recordAdmitted(request: ScoreRequest, predictedMs: number): void {
    request.predictedMs = predictedMs;
    this.#meanCostMs += MEAN_GAIN * (request.costMs - this.#meanCostMs);
  }

  /**
   * Records that an admitted request has its scores or has missed its deadline, and learns from how far the prediction was
   * off. Without those that miss, the predictions would stay too optimistic for them.
   */
  recordEnded({ arrivedAt, predictedMs }: ScoreRequest): void {
    this.#margin.learn((performance.now() - arrivedAt - predictedMs) / (predictedMs + SHORT_MS));
  }

  /**
   * The requests for the next probe that would miss their deadlines even if their batch ran now. At least one request
   * is always kept: a worker is idle, and the run shows what runs really cost.
   */
  predictedLate(): ScoreRequest[] {
    const next = this.#requestQueue.next();
    if (!next) return [];
    const requests = next.requests();
    const end = performance.now() + next.nextRunMs;
    const late = requests.filter(({ deadline }) => deadline < end);
    return late.length < requests.length ? late : late.slice(0, -1);
  }

  /** How long the workers will be busy with what comes before a request that takes `ownMs`, ms. */
  #waitMs(workers: number, tenant: string, ownMs: number, probe: ServedProbe | undefined): number {
    const now = performance.now();
    let workMs = this.#requestQueue.workAheadMs(tenant, ownMs, probe);
    for (const { from, predictedMs } of this.#running.keys()) workMs += Math.max(0, from + predictedMs - now);
    return workMs / Math.max(1, workers);
  }
}
