/**
 * Forms batches and runs them. Without a delay set there is no timer: an idle worker takes what waits at once, and a busy
 * one takes what has queued up meanwhile, up to a batch. So batches grow with the load, and a lone request never waits.
 */
import { withoutNumbers } from '../../disclosure.js';
import { messageOf, problem, ProblemError } from '../../errors.js';
import type { WorkerPool } from '../pool/pool.js';
import type { PooledWorker } from '../pool/pooled-worker.js';
import type { EngineObserver, EngineOptions, ExpectedRequest, ServedProbe, SkipReason } from '../types.js';
import { problemOf, type RunResult } from '../worker/protocol.js';
import { RunTimeoutError, WorkerDiedError } from '../worker/worker-thread.js';
import { LatencyPredictor } from './latency-predictor.js';
import { queueProblem, type RequestQueue } from './queue.js';
import type { Batch, ScoreRequest } from './score-request.js';

/** The longest delay that setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const US_PER_MS = 1000;

export interface BatcherOptions {
  readonly requestQueue: RequestQueue;
  readonly pool: Pick<WorkerPool, 'idle' | 'live'>;
  /** How long an idle worker waits for a fuller batch, µs. */
  readonly maxQueueDelayUs: number;
  readonly observer: EngineObserver;
  readonly onRun?: EngineOptions['onRun'];
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #predictor: LatencyPredictor;
  /** The batches that run, and the end of each run. */
  readonly #running = new Map<Batch, Promise<void>>();
  /** The requests that are not settled, and how to stop waiting for their signals. */
  readonly #open = new Map<ScoreRequest, (() => void) | undefined>();
  #isStartScheduled = false;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#predictor = new LatencyPredictor(options.requestQueue, this.#running);
  }

  /**
   * Queues a request and starts a run if a worker is idle. A request whose deadline would pass is settled at once; one that
   * is aborted, or whose deadline passes, is settled then.
   * @param signal that also fires at the deadline, if there is one.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  submit(request: ScoreRequest, signal: AbortSignal | undefined): void {
    const { requestQueue, pool } = this.#options;
    const leftMs = request.deadline - performance.now();
    if (signal?.aborted) return this.#skipAborted(request, signal);
    if (leftMs <= 0) return this.#skip(request, 'deadline', deadlinePassed());
    // With an idle worker no other work is ahead, so the request is not turned away.
    const isIdle = pool.idle() !== undefined;
    const predictedMs = this.#predictor.latencyMs(request, isIdle ? Infinity : pool.live);
    if (!isIdle && predictedMs > leftMs) return this.#skip(request, 'predicted', deadlineTooNear());
    this.#predictor.recordAdmitted(request, predictedMs);
    for (const displaced of requestQueue.add(request))
      this.#skip(displaced, 'displaced', queueProblem('tenant_limit', requestQueue.depth()));
    this.#open.set(request, this.#skipWhenUseless(request, signal, leftMs));
    this.startRuns();
  }

  /** See Engine. */
  predictedLatencyMs(request: ExpectedRequest): number {
    const { pool, requestQueue } = this.#options;
    // A late request of a tenant that asks for little costs others little, and a flood makes predictions worse.
    if (pool.idle() || requestQueue.isBelowShare(request.tenant)) return 0;
    return this.#predictor.predictedLatencyMs(pool.live, request);
  }

  /** Gives each idle worker a batch of what waits. */
  startRuns(): void {
    const { requestQueue, pool } = this.#options;
    const idle = (): PooledWorker | undefined => pool.idle(this.#open.size === 1);
    for (let slot = idle(); slot; slot = idle()) {
      for (const late of this.#predictor.predictedLate()) this.#skip(late, 'predicted', deadlineTooNear());
      if (this.#waitsForMore()) return;
      const batch = requestQueue.take();
      if (!batch) return;
      this.#running.set(batch, this.#run(slot, batch));
    }
  }

  /** Resolves when every request for the probe is settled. */
  async untilUnused(probe: ServedProbe): Promise<void> {
    const open = [...this.#open.keys()].filter((request) => request.probe === probe);
    await Promise.allSettled(open.map(({ answer }) => answer));
  }

  /** Rejects every request in the queue. */
  rejectWaiting(error: () => Error): void {
    for (const request of this.#options.requestQueue.requests()) this.#fail(request, error());
  }

  /** Resolves when no request waits and no batch runs. */
  async untilIdle(): Promise<void> {
    while (this.#open.size > 0 || this.#running.size > 0) {
      const answers = [...this.#open.keys()].map(({ answer }) => answer);
      await Promise.allSettled([...answers, ...this.#running.values()]);
    }
  }

  /** Whether the next batch is given more time to fill; if so, a later call of startRuns() takes it. */
  #waitsForMore(): boolean {
    const { requestQueue, maxQueueDelayUs } = this.#options;
    const next = maxQueueDelayUs === 0 ? undefined : requestQueue.next();
    if (!next || next.isFull) return false;
    const leftMs = next.oldestArrival + maxQueueDelayUs / US_PER_MS - performance.now();
    if (leftMs <= 0) return false;
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
    // Timers count whole milliseconds: the fraction that remains is polled. A timer must not keep the process alive.
    if (leftMs >= 1) setTimeout(start, Math.floor(leftMs)).unref();
    else setImmediate(start);
  }

  async #run(slot: PooledWorker, batch: Batch): Promise<void> {
    let outcome: RunResult | Error;
    try {
      const slices = batch.parts.map(({ slice }) => slice);
      outcome = await slot.run(batch.probe.key, slices);
    } catch (error) {
      outcome = runFailure(error);
    }
    this.#running.delete(batch);
    this.#reportRun(batch, outcome instanceof Error);
    if (outcome instanceof Error) for (const { request } of batch.parts) this.#fail(request, outcome);
    else this.#accept(batch, outcome, slot.isWide);
    this.startRuns();
  }

  #accept(batch: Batch, { results, ms }: RunResult, isWide: boolean): void {
    const { probe, parts, paddedTokens, samples } = batch;
    // The cost model predicts runs of the other workers.
    if (!isWide) probe.plan.learn(paddedTokens, ms);
    this.#options.observer.batchRun({ model: probe.name, version: probe.version, samples, ms });
    for (const [index, part] of parts.entries()) {
      const { request } = part;
      const result = results[index];
      if (result && 'fault' in result) this.#fail(request, problemOf(result.fault));
      else if (result) request.accept(part, result.scores, batch, ms);
      if (!request.isSettled) continue;
      this.#predictor.recordEnded(request);
      this.#forget(request);
    }
  }

  #reportRun({ probe, samples, paddedTokens, parts, startedAt: from }: Batch, isFault: boolean): void {
    const { onRun } = this.#options;
    const origins = onRun ? parts.flatMap(({ request }) => request.origin ?? []) : [];
    if (origins.length === 0) return;
    onRun?.({ probe, samples, paddedTokens, from, to: performance.now(), isFault, origins });
  }

  #skip(request: ScoreRequest, reason: SkipReason, error: Error): void {
    if (request.isSettled) return;
    this.#options.observer.entrySkipped(reason);
    const isMissed = reason === 'deadline' || reason === 'predicted';
    if (isMissed && this.#open.has(request)) this.#predictor.recordEnded(request);
    this.#fail(request, error);
  }

  #skipAborted(request: ScoreRequest, { reason }: { readonly reason: unknown }): void {
    const error = reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
    const isLate = error instanceof ProblemError && error.code === 'deadline';
    this.#skip(request, isLate ? 'deadline' : 'aborted', error);
  }

  /** Settles a request with an error, and drops the parts of it that still wait. */
  #fail(request: ScoreRequest, error: Error): void {
    request.fail(error);
    this.#options.requestQueue.remove(request);
    this.#forget(request);
  }

  #forget(request: ScoreRequest): void {
    this.#open.get(request)?.();
    this.#open.delete(request);
  }

  /** Skips a queued request when its signal fires or, without one, its deadline passes. Returns how to stop that. */
  #skipWhenUseless(
    request: ScoreRequest,
    signal: AbortSignal | undefined,
    leftMs: number,
  ): (() => void) | undefined {
    if (signal) {
      const onAbort = (): void => this.#skipAborted(request, signal);
      signal.addEventListener('abort', onAbort, { once: true });
      return () => signal.removeEventListener('abort', onAbort);
    }
    if (leftMs === Infinity) return undefined;
    const onDeadline = (): void => this.#skip(request, 'deadline', deadlinePassed());
    const timer = setTimeout(onDeadline, Math.min(Math.ceil(leftMs), MAX_TIMER_MS));
    return () => clearTimeout(timer);
  }
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
  return problem('internal', `The probe could not be run: ${withoutNumbers(messageOf(cause))}`, { cause });
}
