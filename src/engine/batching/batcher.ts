/**
 * Forms batches and runs them. Without a delay set there is no timer: an idle worker takes what waits at once, and a busy
 * one takes what has queued up meanwhile, up to a batch. So batches grow with the load, and a lone request never waits.
 */
import { messageOf, problem } from '../../errors.js';
import type { WorkerPool } from '../pool/pool.js';
import type { PooledWorker } from '../pool/pooled-worker.js';
import type { EngineObserver, EngineOptions, ExpectedRequest, SkipReason } from '../types.js';
import { samplesThatFit } from '../warm-up/batch-plan.js';
import type { RunResult } from '../worker/protocol.js';
import { RunTimeoutError, WorkerDiedError } from '../worker/worker-thread.js';
import { LatencyPredictor } from './latency-predictor.js';
import { type Batch, queueProblem, type RequestQueue } from './queue.js';
import type { RunTimes, ScoreRequest } from './score-request.js';

/** The longest delay that setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** The shortest delay of setTimeout: shorter ones are rounded up to it. */
const MIN_TIMER_MS = 1;
const US_PER_MS = 1000;

export interface BatcherOptions {
  readonly requestQueue: RequestQueue;
  readonly pool: Pick<WorkerPool, 'idle' | 'idleCount' | 'live'>;
  /** How long an idle worker waits for a fuller batch, µs. */
  readonly maxQueueDelayUs: number;
  readonly observer: EngineObserver;
  readonly onRun?: EngineOptions['onRun'];
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #predictor: LatencyPredictor;
  readonly #running = new Set<Promise<void>>();
  /** The requests that are not settled. */
  readonly #open = new Set<ScoreRequest>();
  #isStartScheduled = false;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#predictor = new LatencyPredictor(options.requestQueue);
  }

  /**
   * Queues a request and starts a run if a worker is idle. A request whose deadline would pass is settled at once; one that
   * is aborted, or whose deadline passes, is settled then.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  submit(request: ScoreRequest, signal: AbortSignal | undefined): void {
    if (signal?.aborted) return this.#skip(request, 'aborted', abortReason(signal));
    const leftMs = request.deadline - performance.now();
    if (leftMs <= 0) return this.#skip(request, 'deadline', deadlinePassed());
    const { requestQueue, pool } = this.#options;
    // With an idle worker no other work is ahead, so the request is not turned away.
    const workers = pool.idle() ? Infinity : pool.live;
    if (workers !== Infinity && leftMs !== Infinity && this.#predictor.latencyMs(request, workers) > leftMs)
      return this.#skip(request, 'predicted', deadlineTooNear());
    this.#predictor.recordAdmitted(request, workers);
    for (const displaced of requestQueue.add(request))
      this.#skip(displaced, 'displaced', queueProblem('tenant_limit', requestQueue.depth()));
    this.#skipWhenUseless(request, signal, leftMs);
    this.startRuns();
  }

  /** See Engine. @param key of the probe that the request is likely to be for. */
  predictedLatencyMs(request: ExpectedRequest, key: number | undefined): number {
    const { pool, requestQueue } = this.#options;
    // A late request of a tenant that asks for little costs others little, and a flood makes predictions worse.
    if (pool.idle() || requestQueue.isBelowShare(request.tenant)) return 0;
    return this.#predictor.predictedLatencyMs(pool.live, request, key);
  }

  /** Gives each idle worker a batch of what waits. */
  startRuns(): void {
    const { requestQueue, pool } = this.#options;
    const idle = (): PooledWorker | undefined => pool.idle(this.#open.size === 1);
    for (let slot = idle(); slot; slot = idle()) {
      for (const late of this.#predictor.predictedLate()) this.#skip(late, 'predicted', deadlineTooNear());
      if (this.#waitsForMore()) return;
      const batch = requestQueue.take(pool.idleCount < 2);
      if (!batch) return;
      const run = this.#run(slot, batch);
      this.#running.add(run);
      void run.finally(() => this.#running.delete(run));
    }
  }

  /** Resolves when every request for the probe with this key is settled. */
  async untilUnused(key: number): Promise<void> {
    const open = [...this.#open].filter(({ probe }) => probe.key === key);
    await Promise.allSettled(open.map(({ answer }) => answer));
  }

  /** Rejects every request in the queue. */
  rejectWaiting(error: () => Error): void {
    for (const request of this.#options.requestQueue.clear()) request.fail(error());
  }

  /** Resolves when no request waits and no batch runs. */
  async untilIdle(): Promise<void> {
    while (this.#open.size > 0 || this.#running.size > 0) {
      const answers = [...this.#open].map(({ answer }) => answer);
      await Promise.allSettled([...answers, ...this.#running]);
    }
  }

  /** Whether the next batch is given more time to fill; if so, a later call of startRuns() takes it. */
  #waitsForMore(): boolean {
    const { requestQueue, maxQueueDelayUs } = this.#options;
    const next = requestQueue.next();
    const head = next?.head();
    if (maxQueueDelayUs === 0 || !next || !head) return false;
    const leftMs = next.oldestArrival + maxQueueDelayUs / US_PER_MS - performance.now();
    const isFull = next.waiting.samples >= samplesThatFit(head.probe.plan, head.tokens);
    if (leftMs <= 0 || isFull) return false;
    this.#scheduleStart(leftMs);
    return true;
  }

  #scheduleStart(leftMs: number): void {
    if (this.#isStartScheduled) return;
    this.#isStartScheduled = true;
    const start = (): void => {
      this.#isStartScheduled = false;
      this.startRuns();
    };
    // Timers count whole milliseconds: the fraction that remains is polled.
    if (leftMs >= MIN_TIMER_MS) setTimeout(start, Math.floor(leftMs));
    else setImmediate(start);
  }

  async #run(slot: PooledWorker, batch: Batch): Promise<void> {
    const startedAt = performance.now();
    const endTracking = this.#predictor.trackRun(batch);
    try {
      const reply = await slot.run(
        batch.probe.key,
        batch.slices.map(({ slice }) => slice),
      );
      endTracking();
      this.#reportRun(batch, startedAt, false);
      // The cost model predicts runs of the other workers.
      if (!slot.isWide) batch.probe.plan.cost.learn(batch.paddedTokens, reply.ms);
      this.#accept(batch, reply, { startedAt, ms: reply.ms, batchSamples: batch.samples });
    } catch (error) {
      endTracking();
      this.#reportRun(batch, startedAt, true);
      const failure = runFailure(error);
      for (const { request } of batch.slices) this.#fail(request, failure);
    }
    this.startRuns();
  }

  #accept(batch: Batch, { results, ms }: RunResult, run: RunTimes): void {
    const { name, version } = batch.probe;
    this.#options.observer.batchRun({ model: name, version, samples: batch.samples, ms });
    for (const [index, { request, slice }] of batch.slices.entries()) {
      const result = results[index];
      if (result) request.accept(slice, result, run);
      if (!request.isSettled) continue;
      this.#predictor.recordScored(request);
      this.#options.requestQueue.remove(request);
    }
  }

  #reportRun({ probe, samples, paddedTokens, slices }: Batch, from: number, isFault: boolean): void {
    const { onRun } = this.#options;
    if (!onRun) return;
    const origins = slices.flatMap(({ request }) => request.origin ?? []);
    if (origins.length === 0) return;
    onRun({ probe, samples, paddedTokens, from, to: performance.now(), isFault, origins });
  }

  /** Settles a request with an error, and drops the samples of it that still wait. */
  #fail(request: ScoreRequest, error: Error): void {
    request.fail(error);
    this.#options.requestQueue.remove(request);
  }

  #skip(request: ScoreRequest, reason: SkipReason, error: Error): void {
    if (request.isSettled) return;
    this.#options.observer.entrySkipped(reason);
    this.#fail(request, error);
  }

  /** Skips a queued request when its signal fires or its deadline passes. */
  #skipWhenUseless(request: ScoreRequest, signal: AbortSignal | undefined, leftMs: number): void {
    const onAbort = (): void => {
      if (signal) this.#skip(request, 'aborted', abortReason(signal));
    };
    const onDeadline = (): void => this.#skip(request, 'deadline', deadlinePassed());
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      leftMs === Infinity ? undefined : setTimeout(onDeadline, Math.min(Math.ceil(leftMs), MAX_TIMER_MS));
    this.#open.add(request);
    const onSettled = (): void => {
      this.#open.delete(request);
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    };
    request.answer.then(onSettled, onSettled);
  }
}

function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
}

function deadlinePassed(): Error {
  return problem('deadline', 'The deadline passed before there was a score.');
}

function deadlineTooNear(): Error {
  return problem('deadline', 'The deadline would pass before there is a score: too much work is ahead.');
}

/** The error of the requests in a failed run. When the worker is at fault they are `unready`: another try may succeed. */
function runFailure(cause: unknown): Error {
  if (cause instanceof WorkerDiedError)
    return problem('unready', 'The worker that held this request ended unexpectedly.', { cause });
  if (cause instanceof RunTimeoutError)
    return problem('unready', 'The inference did not end in time.', { cause });
  return problem('internal', `The probe could not be run: ${messageOf(cause)}`, { cause });
}
