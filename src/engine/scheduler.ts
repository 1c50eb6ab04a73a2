/**
 * Owns when what runs. There is no timer: an idle thread takes what waits at once, a busy one takes everything
 * that has queued up, to the limit of a batch, when it returns. So batches grow with the load and a lone request never waits.
 */
import { problem } from '../errors.js';
import type { Backlog, Batch } from './backlog.js';
import type { RunFacts, ScoreRequest } from './score-request.js';
import type { RunReply } from './protocol.js';
import { reasonOf } from './refusal.js';
import { ThreadDied } from './thread.js';
import type { EngineObserver, ScoreOptions, SkipReason } from './types.js';
import { RunHangs, type WorkerSlot } from './worker-slot.js';

/** setTimeout takes no longer delay than this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface SchedulerOptions {
  readonly backlog: Backlog;
  readonly idleSlot: () => WorkerSlot | undefined;
  readonly maxBatchSamples: number;
  readonly observer: EngineObserver;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #running = new Set<Promise<void>>();

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /**
   * Lets a request in, and sees to it that it leaves again when nobody waits for it any more.
   * @throws {ProblemError} overloaded
   */
  submit(request: ScoreRequest, { signal, deadline }: ScoreOptions): void {
    if (signal?.aborted) return this.#skip(request, 'aborted', abortReason(signal));
    const leftMs = deadline === undefined ? Infinity : deadline - performance.now();
    if (leftMs <= 0) return this.#skip(request, 'deadline', deadlinePassed());
    this.#options.backlog.add(request);
    this.#watch(request, signal, leftMs);
    this.pump();
  }

  /** Gives idle threads what waits. */
  pump(): void {
    const { backlog, idleSlot, maxBatchSamples } = this.#options;
    for (let slot = idleSlot(); slot; slot = idleSlot()) {
      const batch = backlog.take(maxBatchSamples);
      if (!batch) return;
      const run = this.#run(slot, batch);
      this.#running.add(run);
      void run.finally(() => this.#running.delete(run));
    }
  }

  /** Rejects everything that waits. */
  rejectWaiting(error: () => Error): void {
    for (const request of this.#options.backlog.clear()) request.fail(error());
  }

  /** Resolves when nothing waits and nothing runs. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }

  async #run(slot: WorkerSlot, batch: Batch): Promise<void> {
    const startedAt = performance.now();
    try {
      const reply = await slot.run(
        batch.probe.key,
        batch.parts.map(({ part }) => part),
      );
      this.#accept(batch, reply, { startedAt, ms: reply.ms, batchSamples: batch.samples });
    } catch (error) {
      const failure = runFailure(error);
      for (const { request } of batch.parts) this.#settleFailed(request, failure);
    }
    this.pump();
  }

  #accept(batch: Batch, { results, ms }: RunReply, facts: RunFacts): void {
    const { name, version } = batch.probe;
    this.#options.observer.batchRun({ model: name, version, samples: batch.samples, ms });
    for (const [index, { request, part }] of batch.parts.entries()) {
      const result = results[index];
      if (result) request.accept(part, result, facts);
      if (request.isSettled) this.#options.backlog.remove(request);
    }
  }

  /** What is left of a request that has failed needs no run any more. */
  #settleFailed(request: ScoreRequest, error: Error): void {
    request.fail(error);
    this.#options.backlog.remove(request);
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
    const unwatch = (): void => {
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

function runFailure(error: unknown): Error {
  if (error instanceof ThreadDied) {
    return problem('internal', 'The worker that held this request ended unexpectedly.', { cause: error });
  }
  if (error instanceof RunHangs) {
    return problem('internal', 'The inference did not end in time.', { cause: error });
  }
  return problem('internal', `The probe could not be run: ${reasonOf(error)}`, { cause: error });
}
