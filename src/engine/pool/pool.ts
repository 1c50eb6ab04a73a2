/**
 * The worker threads of the engine. Each holds every probe, and one that is lost is replaced after a pause. Under load each
 * worker has a core or a few; a lone request would leave the others idle, so one further worker has the threads of a wide run.
 * See docs/adr/0026-narrow-workers-and-a-wide-one.md.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../errors.js';
import { ProbePostponedError } from '../../probe/refused.js';
import type { EngineOptions, ResolvedOptions } from '../types.js';
import type { BatchPlan } from '../warm-up/batch-plan.js';
import { type WarmUp, warmUpProbe } from '../warm-up/warm-up.js';
import type { RunResult, SessionInfo } from '../worker/protocol.js';
import type { SampleSlice } from '../worker/sample-slice.js';
import { RunTimeoutError, WorkerDiedError, WorkerThread } from '../worker/worker-thread.js';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** More threads that hang would leave too little of the cores and the memory. */
const MAX_HUNG = 1;

export interface WorkerPoolOptions extends ResolvedOptions, Pick<EngineOptions, 'log' | 'observer'> {
  /** Called when a worker becomes idle, except by the end of a run, and when one is lost. */
  readonly onChange: () => void;
}

/** A probe that was measured; every thread uses the same plan. */
export interface MeasuredProbe extends Pick<WarmUp, 'key' | 'files'> {
  readonly plan: BatchPlan;
}

/** A worker from the start of its thread until the thread is lost. */
export interface PooledWorker {
  readonly thread: WorkerThread;
  /** The threads of its runs when they have more than those of the others. */
  readonly wideThreads: number | undefined;
  /** How many workers were lost in a row, this one's predecessors, without a run that succeeded. */
  failures: number;
  /** It takes runs once it holds every probe. */
  holdsEveryProbe: boolean;
  /** The runs and loads that have not ended. */
  tasks: number;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #probes = new Map<number, MeasuredProbe>();
  #workers: PooledWorker[] = [];
  /** Threads that were replaced and have not ended, and whether a run hangs in them. The others finish a command. */
  readonly #replaced = new Map<WorkerThread, { readonly isHung: boolean }>();
  readonly #closing = new AbortController();
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Workers that take runs, now or after what they are doing. */
  get live(): number {
    return this.#workers.filter((worker) => !worker.wideThreads && worker.holdsEveryProbe).length;
  }

  /** Threads that were given up because a run hangs in them. */
  get hung(): number {
    return [...this.#replaced.values()].filter(({ isHung }) => isHung).length;
  }

  /** A worker that can take a run at once; for the only request, the wide one if it can. */
  idle(isLone = false): PooledWorker | undefined {
    const idle = (isWide: boolean): PooledWorker | undefined =>
      this.#workers.find(
        ({ wideThreads, holdsEveryProbe, tasks }) =>
          (wideThreads !== undefined) === isWide && holdsEveryProbe && tasks === 0,
      );
    return (isLone ? idle(true) : undefined) ?? idle(false);
  }

  /**
   * Runs one batch in a worker.
   * @throws {WorkerDiedError | RunTimeoutError | CommandFailedError}
   */
  async run(worker: PooledWorker, key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const { inferenceTimeoutMs } = this.#options;
    const result = await busyWith(worker, worker.thread.run(key, slices, inferenceTimeoutMs));
    worker.failures = 0;
    return result;
  }

  /**
   * Adds workers; resolves when each is idle or its first start has failed.
   * @param wideThreads of their runs, if the workers are for lone requests.
   */
  async add(count: number, wideThreads?: number): Promise<void> {
    await this.#inTurn(() => Promise.all(Array.from({ length: count }, () => this.#start(wideThreads))));
  }

  /**
   * Loads a probe into every worker: first into one, then into the others one by one, so that all but one continue to score.
   * @throws {ProbePostponedError} when no worker can load it at the moment.
   * @throws {ProbeRefusedError} when the probe is at fault.
   * @throws {CommandFailedError} with isDeviceUnavailable when the device is at fault.
   */
  install(probe: MeasuredProbe): Promise<SessionInfo> {
    return this.#inTurn(async () => {
      const first = this.idle() ?? this.#workers[0];
      if (!first) throw new ProbePostponedError('no worker thread is up to load it');
      const session = await this.#load(first, probe);
      this.#probes.set(probe.key, probe);
      for (const worker of this.#workers)
        if (worker !== first)
          // What works in one worker is not the probe's fault in another.
          await this.#load(worker, probe).catch((error: unknown) => this.#replace(worker, error));
      return session;
    });
  }

  /** Unloads a probe from every worker once it has finished its commands. */
  uninstall(key: number): void {
    void this.#inTurn(async () => {
      this.#probes.delete(key);
      for (const { thread } of this.#workers) unload(thread, key);
    });
  }

  /** Lets every thread finish and end, except those that hang. */
  async close(): Promise<void> {
    this.#closing.abort();
    const ending = [...this.#replaced].filter(([, { isHung }]) => !isHung).map(([thread]) => thread);
    const threads = [...this.#workers.map(({ thread }) => thread), ...ending];
    await Promise.all(threads.map((thread) => thread.close()));
  }

  /** One change of the workers or their probes after the other: no worker starts while a probe is loaded or unloaded. */
  #inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const turn = this.#lastTurn.then(change);
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  async #start(wideThreads?: number, failures = 0): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { workerUrl, clock, device, intraOpThreads } = this.#options;
    const isWide = wideThreads !== undefined;
    const settings = { device, intraOpThreads: wideThreads ?? intraOpThreads, isWide };
    const thread = new WorkerThread(workerUrl, settings, clock, (error) => this.#replace(worker, error));
    const worker: PooledWorker = { thread, wideThreads, failures, holdsEveryProbe: false, tasks: 0 };
    this.#workers.push(worker);
    try {
      for (const probe of this.#probes.values()) await this.#warmUp(worker, probe);
      worker.holdsEveryProbe = true;
      this.#options.onChange();
    } catch (error) {
      this.#replace(worker, error);
    }
  }

  async #load(worker: PooledWorker, probe: MeasuredProbe): Promise<SessionInfo> {
    try {
      return await busyWith(worker, this.#warmUp(worker, probe));
    } catch (error) {
      unload(worker.thread, probe.key);
      throw error;
    } finally {
      this.#options.onChange();
    }
  }

  #warmUp({ thread }: PooledWorker, probe: MeasuredProbe): Promise<SessionInfo> {
    return warmUpProbe({ ...probe, thread, runLimitMs: this.#options.warmUpTimeoutMs }, probe.plan);
  }

  /** Takes a worker out whose thread has died, hangs, or fails at what others can do, and starts another. */
  #replace(worker: PooledWorker, error: unknown): void {
    const { signal } = this.#closing;
    if (signal.aborted || !this.#workers.includes(worker)) return;
    this.#workers = this.#workers.filter((other) => other !== worker);
    const { log, observer, onChange, onHang } = this.#options;
    const { thread, failures, wideThreads } = worker;
    const isHung = error instanceof RunTimeoutError;
    this.#replaced.set(thread, { isHung });
    // A hung thread ends if its run ends after all. See docs/adr/0020-replace-a-hung-worker.md.
    void thread.close().then(() => this.#replaced.delete(thread));
    if (isHung) thread.unref();
    const cause = error instanceof WorkerDiedError ? error.cause : undefined;
    // The message of what a thread has thrown may quote a request.
    const reason = cause === undefined ? messageOf(error) : 'an error has ended it';
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    log.error({ reason, err: cause, pauseMs }, 'a worker thread was lost and will be replaced');
    const pause = delay(pauseMs, undefined, { signal }).catch(() => {});
    void this.#inTurn(async () => {
      await pause;
      if (signal.aborted) return;
      observer.workerRestarted();
      await this.#start(wideThreads, failures + 1);
    });
    onChange();
    if (this.hung > MAX_HUNG) onHang?.(reason);
  }
}

/** A worker takes no run until the task has ended. */
async function busyWith<Result>(worker: PooledWorker, task: Promise<Result>): Promise<Result> {
  worker.tasks += 1;
  try {
    return await task;
  } finally {
    worker.tasks -= 1;
  }
}

/** If the thread is lost meanwhile, its sessions are gone with it. */
function unload(thread: WorkerThread, key: number): void {
  thread.unload(key).catch(() => {});
}
