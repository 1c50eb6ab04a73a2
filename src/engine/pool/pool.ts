/**
 * The worker threads of the engine. Each holds every probe, and one that is lost is replaced after a pause. Under load each
 * worker has a core or a few; a lone request would leave the others idle, so one further worker has the threads of a wide run.
 * See docs/adr/0026-narrow-workers-and-a-wide-one.md.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../errors.js';
import { ProbePostponedError } from '../../probe/refused.js';
import type { EngineOptions, MeasuredProbe, Placement, ResolvedOptions } from '../types.js';
import { warmUpProbe } from '../warm-up/warm-up.js';
import type { RunResult } from '../worker/protocol.js';
import type { SampleSlice } from '../worker/sample-slice.js';
import { WorkerDiedError, WorkerThread } from '../worker/worker-thread.js';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** More threads that hang would leave too little of the cores and the memory. */
const MAX_HUNG = 1;

export interface WorkerPoolOptions extends ResolvedOptions, Pick<EngineOptions, 'log' | 'observer'> {
  /** Called when a worker becomes idle, except by the end of a run, and when one is lost. */
  readonly onChange: () => void;
}

/** A worker from the start of its thread until the thread is lost. */
export interface PooledWorker {
  readonly thread: WorkerThread;
  /** Whether it serves lone requests, with more threads than the others. */
  readonly isWide: boolean;
  /** How many workers were lost in a row, this one's predecessors, without a run that succeeded. */
  failures: number;
  /** It takes runs once it holds every probe. */
  holdsEveryProbe: boolean;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #probes = new Map<number, MeasuredProbe>();
  #workers: PooledWorker[] = [];
  /** Threads that were replaced and have not ended. */
  readonly #replaced = new Set<WorkerThread>();
  readonly #closing = new AbortController();
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Workers that take runs, now or after what they are doing. */
  get live(): number {
    return this.#workers.filter(({ isWide, holdsEveryProbe }) => !isWide && holdsEveryProbe).length;
  }

  /** Threads that were given up because a run hangs in them. */
  get hung(): number {
    return [...this.#replaced].filter(({ isHung }) => isHung).length;
  }

  /** A worker that can take a run at once; for the only request, the wide one if it can. */
  idle(isLone = false): PooledWorker | undefined {
    const idle = this.#workers.filter(({ thread, holdsEveryProbe }) => holdsEveryProbe && thread.isIdle);
    const wide = isLone ? idle.find(({ isWide }) => isWide) : undefined;
    return wide ?? idle.find(({ isWide }) => !isWide);
  }

  /**
   * Runs one batch in a worker.
   * @throws {WorkerDiedError | RunTimeoutError} @throws {Error} with the message of the worker.
   */
  async run(worker: PooledWorker, key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const { inferenceTimeoutMs } = this.#options;
    const result = await worker.thread.run(key, slices, inferenceTimeoutMs);
    worker.failures = 0;
    return result;
  }

  /** Adds workers; resolves when each is idle or its first start has failed. */
  async add(count: number, isWide = false): Promise<void> {
    await this.#inTurn(() => Promise.all(Array.from({ length: count }, () => this.#start(isWide))));
  }

  /**
   * Loads a probe into every worker: first into one, then into the others one by one, so that all but one continue to score.
   * @throws {ProbePostponedError} when no worker can load it at the moment.
   * @throws {ProbeRefusedError} when the probe is at fault.
   * @throws {DeviceUnavailableError}
   */
  install(probe: MeasuredProbe): Promise<Placement> {
    return this.#inTurn(async () => {
      const first = this.idle() ?? this.#workers[0];
      if (!first) throw new ProbePostponedError('no worker thread is up to load it');
      const placement = await this.#load(first, probe);
      this.#probes.set(probe.key, probe);
      for (const worker of this.#workers)
        if (worker !== first)
          // What works in one worker is not the probe's fault in another.
          await this.#load(worker, probe).catch((error: unknown) => this.#replace(worker, error));
      return placement;
    });
  }

  /** Unloads a probe from every worker once it has finished its commands. */
  uninstall(key: number): void {
    void this.#inTurn(async () => {
      this.#probes.delete(key);
      for (const { thread } of this.#workers) this.#unload(thread, key);
    });
  }

  /** Lets every thread finish and end, except those that hang. */
  async close(): Promise<void> {
    this.#closing.abort();
    const threads = [...this.#workers.map(({ thread }) => thread), ...this.#replaced];
    await Promise.all(threads.filter(({ isHung }) => !isHung).map((thread) => thread.close()));
  }

  /** One change of the workers or their probes after the other: no worker starts while a probe is loaded or unloaded. */
  #inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const turn = this.#lastTurn.then(change);
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  async #start(isWide: boolean, failures = 0): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { workerUrl, clock, device, intraOpThreads, wideThreads = intraOpThreads } = this.#options;
    const settings = { device, intraOpThreads: isWide ? wideThreads : intraOpThreads, isWide };
    const thread = new WorkerThread(workerUrl, settings, clock, (error) => this.#replace(worker, error));
    const worker: PooledWorker = { thread, isWide, failures, holdsEveryProbe: false };
    this.#workers.push(worker);
    try {
      for (const probe of this.#probes.values()) await this.#load(worker, probe);
      worker.holdsEveryProbe = true;
      this.#options.onChange();
    } catch (error) {
      this.#replace(worker, error);
    }
  }

  async #load({ thread }: PooledWorker, probe: MeasuredProbe): Promise<Placement> {
    const runLimitMs = this.#options.warmUpTimeoutMs;
    try {
      return await warmUpProbe({ probe, thread, runLimitMs }, probe.plan.warmSizes);
    } catch (error) {
      this.#unload(thread, probe.key);
      throw error;
    } finally {
      this.#options.onChange();
    }
  }

  /** If the thread is lost meanwhile, its sessions are gone with it. */
  #unload(thread: WorkerThread, key: number): void {
    thread.unload(key).then(this.#options.onChange, () => {});
  }

  /** Takes a worker out whose thread has died, hangs, or fails at what others can do, and starts another. */
  #replace(worker: PooledWorker, error: unknown): void {
    const { signal } = this.#closing;
    if (signal.aborted || !this.#workers.includes(worker)) return;
    this.#workers = this.#workers.filter((other) => other !== worker);
    const { log, observer, onChange, onHang } = this.#options;
    const { thread, failures, isWide } = worker;
    this.#replaced.add(thread);
    // A hung thread ends if its run ends after all. See docs/adr/0020-replace-a-hung-worker.md.
    void thread.close().then(() => this.#replaced.delete(thread));
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
      await this.#start(isWide, failures + 1);
    });
    onChange();
    if (this.hung > MAX_HUNG) onHang?.(reason);
  }
}
