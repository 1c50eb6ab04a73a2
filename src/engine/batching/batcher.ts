/**
 * Forms batches and runs them. An idle worker takes what waits at once, and a busy one takes what has queued up meanwhile, up
 * to a batch. So batches grow with the load, and a lone request never waits. Little work is not given to a second worker
 * when a run is about to end: see docs/adr/0026-narrow-workers-and-a-wide-one.md.
 */
import { withoutNumbers } from '../../disclosure.js';
import { messageOf, problem, ProblemError } from '../../errors.js';
import type { PooledWorker, WorkerPool } from '../pool/pool.js';
import type { EngineOptions, ExpectedRequest, ServedProbe, SkipReason } from '../types.js';
import { problemOf, type RunResult } from '../worker/protocol.js';
import { RunTimeoutError, WorkerDiedError } from '../worker/worker-thread.js';
import { LatencyPredictor } from './latency-predictor.js';
import { queueProblem, type RequestQueue } from './queue.js';
import type { Batch, ScoreRequest } from './score-request.js';

export const NO_WORKER = 'no worker can take work';
const US_PER_MS = 1000;
/** Less work than the first waits for a run of its probe that ends within the second, ms. */
const [SMALL_WORK_MS, SOON_MS] = [2, 4];
const LATE = {
  deadline: 'The deadline passed before there was a score.',
  predicted: 'The deadline would pass before there is a score: too much work is ahead.',
};

export interface BatcherOptions extends Pick<EngineOptions, 'maxQueueDelayUs' | 'observer'> {
  readonly requestQueue: RequestQueue;
  readonly pool: Pick<WorkerPool, 'idle' | 'live' | 'run'>;
}

export class Batcher {
  readonly #options: BatcherOptions;
  readonly #predictor: LatencyPredictor;
  /** The batches that run, and the end of each run. */
  readonly #running = new Map<Batch, Promise<void>>();
  /** The requests that are not answered. */
  readonly #open = new Set<ScoreRequest>();
  /** Whether requests have been open side by side, since the last moment without any and before it. */
  #sideBySide = { now: false, before: false };
  #isStartScheduled = false;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#predictor = new LatencyPredictor(options.requestQueue, this.#running);
  }

  /**
   * Queues a request and starts a run if a worker is idle. A request whose deadline would pass is settled at once; one that
   * is aborted is settled then.
   * @throws {ProblemError} overloaded, tenant_limit, unready
   */
  submit(request: ScoreRequest, signal: AbortSignal | undefined): void {
    const { requestQueue, pool } = this.#options;
    const leftMs = request.deadline - performance.now();
    if (pool.live === 0) throw unready(NO_WORKER);
    if (signal?.aborted) return this.#skipAborted(request, signal);
    if (leftMs <= 0) return this.#skipLate(request, 'deadline');
    // With an idle worker no other work is ahead, so the request is not turned away.
    const isIdle = pool.idle() !== undefined;
    const predictedMs = isIdle ? request.costMs : this.#predictor.latencyMs(request, pool.live);
    if (!isIdle && predictedMs > leftMs) return this.#skipLate(request, 'predicted');
    this.#predictor.recordAdmitted(request, predictedMs);
    for (const displaced of requestQueue.add(request))
      this.#skip(displaced, 'displaced', queueProblem('tenant_limit', requestQueue.depth()));
    this.#sideBySide.now ||= this.#open.size > 0;
    this.#open.add(request);
    signal?.addEventListener('abort', () => this.#skipAborted(request, signal), { once: true });
    this.startRuns();
  }

  predictedLatencyMs(request: ExpectedRequest): number {
    const { pool, requestQueue } = this.#options;
    // A late request of a tenant that asks for little costs others little, and a flood makes predictions worse.
    if (pool.idle() || requestQueue.isBelowShare(request.tenant)) return 0;
    return this.#predictor.predictedLatencyMs(pool.live, request);
  }

  /** Starts runs in workers that have become idle; rejects every request in the queue when no worker is left. */
  onWorkersChange(): void {
    const { requestQueue, pool } = this.#options;
    if (pool.live > 0) this.startRuns();
    else for (const request of requestQueue.requests()) this.#fail(request, unready(NO_WORKER));
  }

  /** Gives each idle worker a batch of what waits. */
  startRuns(): void {
    const { requestQueue, pool } = this.#options;
    for (let worker = pool.idle(this.#isLone); worker; worker = pool.idle(this.#isLone)) {
      for (const late of this.#predictor.predictedLate()) this.#skipLate(late, 'predicted');
      if (this.#waitsForMore()) return;
      const batch = requestQueue.take();
      if (!batch) return;
      this.#running.set(batch, this.#run(worker, batch));
    }
  }

  /** Resolves when every request that is open now is answered; with a probe, every request for it. */
  async untilAnswered(probe?: ServedProbe): Promise<void> {
    const open = [...this.#open].filter((request) => !probe || request.probe === probe);
    await Promise.allSettled(open.map(({ answer }) => answer));
  }

  /** Resolves when no request waits and no batch runs. No request may be submitted any more. */
  async untilIdle(): Promise<void> {
    await this.untilAnswered();
    await Promise.all(this.#running.values());
  }

  /**
   * Whether the wide worker may take the only open request. Callers that ask side by side leave moments with one request
   * too: there a wide run would take the cores of the runs that follow.
   */
  get #isLone(): boolean {
    return this.#open.size === 1 && !this.#sideBySide.before;
  }

  /** Whether the next batch is given more time to fill; if so, a later call of startRuns() takes it. */
  #waitsForMore(): boolean {
    const { requestQueue, maxQueueDelayUs = 0 } = this.#options;
    const next = requestQueue.next();
    if (!next || next.isFull) return false;
    const delayMs = next.oldestArrival + maxQueueDelayUs / US_PER_MS - performance.now();
    const leftMs = Math.max(delayMs, next.workMs < SMALL_WORK_MS ? this.#untilRunEndsMs(next.probe) : 0);
    if (leftMs <= 0 || this.#isStartScheduled) return leftMs > 0;
    this.#isStartScheduled = true;
    // Timers count whole milliseconds: the rest of a delay is polled. The end of a run starts the next one by itself, so only
    // a late one needs the timer. A timer must not keep the process alive.
    if (leftMs >= 1 || delayMs <= 0) setTimeout(this.#startScheduled, leftMs).unref();
    else setImmediate(this.#startScheduled);
    return true;
  }

  readonly #startScheduled = (): void => {
    this.#isStartScheduled = false;
    this.startRuns();
  };

  /** When the next run of a probe is predicted to end, in ms from now; 0 when none will end soon. */
  #untilRunEndsMs(probe: ServedProbe): number {
    const runs = [...this.#running.keys()].filter((run) => run.probe === probe);
    const leftMs = Math.min(...runs.map(({ from, predictedMs }) => from + predictedMs)) - performance.now();
    return leftMs < SOON_MS ? leftMs : 0;
  }

  async #run(worker: PooledWorker, batch: Batch): Promise<void> {
    const { probe, parts } = batch;
    const { pool, observer } = this.#options;
    const slices = parts.map(({ slice }) => slice);
    const outcome = await pool.run(worker, probe.key, slices).catch(runFailure);
    this.#running.delete(batch);
    const ms = outcome instanceof Error ? undefined : outcome.ms;
    const origins = parts.flatMap(({ request }) => request.origin ?? []);
    observer.batchRun({ ...batch, to: performance.now(), ms, origins });
    if (outcome instanceof Error) for (const { request } of parts) this.#fail(request, outcome);
    else this.#accept(batch, outcome, worker.isWide);
    this.startRuns();
  }

  #accept(batch: Batch, { results, ms }: RunResult, isWide: boolean): void {
    const { probe, parts, paddedTokens } = batch;
    // The cost model predicts runs of the other workers.
    if (!isWide) probe.plan.learn(paddedTokens, ms);
    for (const [index, part] of parts.entries()) {
      const { request } = part;
      const result = results[index];
      if (result && 'fault' in result) this.#fail(request, problemOf(result.fault));
      else if (result) request.accept(part, result.scores, batch, ms);
      if (!request.isSettled) continue;
      this.#predictor.recordEnded(request);
      this.#close(request);
    }
  }

  #skipAborted(request: ScoreRequest, { reason }: AbortSignal): void {
    const isLate = reason instanceof ProblemError && reason.code === 'deadline';
    this.#skip(request, isLate ? 'deadline' : 'aborted', reason);
  }

  #skipLate(request: ScoreRequest, reason: keyof typeof LATE): void {
    this.#skip(request, reason, problem('deadline', LATE[reason]));
  }

  #skip(request: ScoreRequest, reason: SkipReason, error: unknown): void {
    if (request.isSettled) return;
    this.#options.observer.entrySkipped(reason);
    const isMissed = reason === 'deadline' || reason === 'predicted';
    if (isMissed && this.#open.has(request)) this.#predictor.recordEnded(request);
    this.#fail(request, error);
  }

  /** Settles a request with an error, and drops the parts of it that still wait. */
  #fail(request: ScoreRequest, error: unknown): void {
    request.fail(error);
    this.#options.requestQueue.remove(request);
    this.#close(request);
  }

  #close(request: ScoreRequest): void {
    this.#open.delete(request);
    if (this.#open.size === 0) this.#sideBySide = { now: false, before: this.#sideBySide.now };
  }
}

export function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`);
}

/** The error of the requests in a failed run. When the worker is at fault they are `unready`: another try may succeed. */
function runFailure(cause: unknown): Error {
  if (cause instanceof WorkerDiedError)
    return problem('unready', 'The worker that held this request ended unexpectedly.', { cause });
  if (cause instanceof RunTimeoutError)
    return problem('unready', 'The inference did not end in time.', { cause });
  return problem('internal', `The probe could not be run: ${withoutNumbers(messageOf(cause))}`, { cause });
}
