/**
 * Owns when what runs. Without a delay set there is no timer: an idle thread takes what waits at once, a busy one takes
 * everything that has queued up, to the limit of a batch, when it returns. So batches grow with the load and a lone
 * request never waits.
 */
import { problem } from '../../errors.js';
import type { RequestQueue, Batch } from './queue.js';
import { samplesThatFit } from '../warm-up/batch-plan.js';
import { LatencyPredictor } from './latency-predictor.js';
import type { RunFacts, ScoreRequest } from './score-request.js';
import { messageOf } from '../../probe/refusal.js';
import { RunTimeoutError, WorkerDiedError } from '../worker/worker-thread.js';
import type { EngineObserver, EngineOptions, SkipReason } from '../types.js';
import type { SlotRunResult, WorkerSlot } from '../pool/worker-slot.js';

/** setTimeout takes no longer delay than this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A timer waits at least so long, ms. */
const SHORTEST_TIMER_MS = 1;
const US_PER_MS = 1000;
const RETRY_AFTER_SECONDS = 1;

export interface BatcherOptions {
  readonly requestQueue: RequestQueue;
  readonly idleSlot: () => WorkerSlot | undefined;
  /** Threads that can take a run at once. */
  readonly idleThreads: () => number;
  /** Threads that answer sooner or later. */
  readonly liveThreads: () => number;
  /** How long an idle thread waits for a fuller batch, µs. */
  readonly maxQueueDelayUs: number;
  readonly observer: EngineObserver;
  readonly onRun?: EngineOptions['onRun'];
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #predictor: LatencyPredictor;
  readonly #running = new Set<Promise<void>>();
  readonly #open = new Set<ScoreRequest>();
  #isPumpDue = false;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#predictor = new LatencyPredictor(options.requestQueue);
  }

  /**
   * Lets a request in, and sees to it that it leaves again when nobody waits for it any more.
   * @throws {ProblemError} overloaded
   */
  submit(request: ScoreRequest, signal: AbortSignal | undefined): void {
    if (signal?.aborted) return this.#skip(request, 'aborted', abortReason(signal));
    const leftMs = request.deadline - performance.now();
    if (leftMs <= 0) return this.#skip(request, 'deadline', deadlinePassed());
    const { requestQueue, idleSlot, liveThreads } = this.#options;
    // With an idle thread there is nothing ahead: it costs nothing to try.
    const threads = idleSlot() ? Infinity : liveThreads();
    if (threads !== Infinity && leftMs !== Infinity && this.#predictor.needMs(request, threads) > leftMs)
      return this.#skip(request, 'predicted', deadlineTooNear());
    this.#predictor.expect(request, threads);
    requestQueue.add(request);
    this.#watch(request, signal, leftMs);
    this.pump();
  }

  /** See Engine. */
  predictedLatencyMs(receiving: number): number {
    const { idleSlot, liveThreads } = this.#options;
    return idleSlot() ? 0 : this.#predictor.predictedLatencyMs(liveThreads(), receiving);
  }

  /** Gives idle threads what waits. */
  pump(): void {
    const { requestQueue, idleSlot, idleThreads } = this.#options;
    for (let slot = idleSlot(); slot; slot = idleSlot()) {
      for (const late of this.#predictor.predictedLate()) this.#skip(late, 'predicted', deadlineTooNear());
      if (this.#waitsForMore()) return;
      const batch = requestQueue.take(idleThreads() < 2);
      if (!batch) return;
      const run = this.#run(slot, batch);
      this.#running.add(run);
      void run.finally(() => this.#running.delete(run));
    }
  }

  /** Resolves when no request for the probe under this key waits or runs. */
  async released(key: number): Promise<void> {
    const open = [...this.#open].filter(({ probe }) => probe.key === key);
    await Promise.allSettled(open.map(({ answer }) => answer));
  }

  /** Rejects everything that waits. */
  rejectWaiting(error: () => Error): void {
    for (const request of this.#options.requestQueue.clear()) request.fail(error());
  }

  /** Resolves when nothing waits and nothing runs. */
  async drained(): Promise<void> {
    while (this.#open.size > 0 || this.#running.size > 0) {
      const answers = [...this.#open].map(({ answer }) => answer);
      await Promise.allSettled([...answers, ...this.#running]);
    }
  }

  /** A batch that is not full yet may be given a little time; then a later pump takes it. */
  #waitsForMore(): boolean {
    const { requestQueue, maxQueueDelayUs } = this.#options;
    const queue = requestQueue.next();
    const [head] = queue;
    if (maxQueueDelayUs === 0 || !head) return false;
    const leftMs = head.arrivedAt + maxQueueDelayUs / US_PER_MS - performance.now();
    const waiting = queue.reduce((sum, request) => sum + request.waiting, 0);
    if (leftMs <= 0 || waiting >= samplesThatFit(head.probe.plan, head.tokens)) return false;
    this.#pumpLater(leftMs);
    return true;
  }

  #pumpLater(leftMs: number): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    const pump = (): void => {
      this.#isPumpDue = false;
      this.pump();
    };
    // Timers count whole milliseconds: what is left of one is spent looking again and again.
    if (leftMs >= SHORTEST_TIMER_MS) setTimeout(pump, Math.floor(leftMs));
    else setImmediate(pump);
  }

  async #run(slot: WorkerSlot, batch: Batch): Promise<void> {
    const startedAt = performance.now();
    const end = this.#predictor.begin(batch);
    try {
      const reply = await slot.run(
        batch.probe.key,
        batch.slices.map(({ slice }) => slice),
      );
      end();
      this.#tell(batch, startedAt, false);
      this.#accept(batch, reply, { startedAt, ms: reply.ms, batchSamples: batch.samples });
    } catch (error) {
      end();
      this.#tell(batch, startedAt, true);
      const failure = runFailure(error);
      for (const { request } of batch.slices) this.#settleFailed(request, failure);
    }
    this.pump();
  }

  #accept(batch: Batch, { results, ms, hadAllCores }: SlotRunResult, facts: RunFacts): void {
    const { name, version, plan } = batch.probe;
    if (!hadAllCores) plan.cost.learn(batch.paddedTokens, ms);
    this.#options.observer.batchRun({ model: name, version, samples: batch.samples, ms });
    for (const [index, { request, slice }] of batch.slices.entries()) {
      const result = results[index];
      if (result) request.accept(slice, result, facts);
      if (!request.isSettled) continue;
      this.#predictor.fulfilled(request);
      this.#options.requestQueue.remove(request);
    }
  }

  /** Costs nothing unless somebody follows requests. */
  #tell({ probe, samples, paddedTokens, slices }: Batch, from: number, isFault: boolean): void {
    const { onRun } = this.#options;
    if (!onRun) return;
    const origins = slices.flatMap(({ request }) => request.origin ?? []);
    if (origins.length === 0) return;
    onRun({ probe, samples, paddedTokens, from, to: performance.now(), isFault, origins });
  }

  /** What is left of a request that has failed needs no run any more. */
  #settleFailed(request: ScoreRequest, error: Error): void {
    request.fail(error);
    this.#options.requestQueue.remove(request);
  }

  #skip(request: ScoreRequest, reason: SkipReason, error: Error): void {
    if (request.isSettled) return;
    this.#options.observer.entrySkipped(reason);
    this.#settleFailed(request, error);
  }

  #watch(request: ScoreRequest, signal: AbortSignal | undefined, leftMs: number): void {
    const onAbort = (): void => {
      if (signal) this.#skip(request, 'aborted', abortReason(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      leftMs === Infinity
        ? undefined
        : setTimeout(
            () => this.#skip(request, 'deadline', deadlinePassed()),
            Math.min(Math.ceil(leftMs), LONGEST_TIMER_MS),
          );
    this.#open.add(request);
    const unwatch = (): void => {
      this.#open.delete(request);
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    };
    request.answer.then(unwatch, unwatch);
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
  return problem('deadline', 'With the work that is ahead, the deadline would pass before there is a score.');
}

/** A thread that was lost says little of the request that it held: another try may succeed. */
function runFailure(error: unknown): Error {
  if (error instanceof WorkerDiedError)
    return unready('The worker that held this request ended unexpectedly.', error);
  if (error instanceof RunTimeoutError) return unready('The inference did not end in time.', error);
  return problem('internal', `The probe could not be run: ${messageOf(error)}`, { cause: error });
}

function unready(detail: string, cause: Error): Error {
  return problem('unready', detail, { cause, retryAfterSeconds: RETRY_AFTER_SECONDS });
}
