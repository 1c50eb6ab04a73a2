/**
 * One place for a worker thread: it replaces a thread that is lost, and its state shows whether the thread can take a run.
 *
 *     down ──start──▶ starting ──probes loaded──▶ idle ◀──▶ busy
 *      ▲                 │                        ▲ │         │
 *      │                 │                   load ▼ │         │
 *      │                 │                      loading       │
 *      └─────────────────┴─────────────────────────┴──────────┴── the thread died or hangs; restart after a pause
 */
import { messageOf } from '../../errors.js';
import type { EngineLog } from '../types.js';
import {
  type MeasuredProbe,
  type WarmUpThread,
  warmUpProbe,
} from '../warm-up/warm-up.js';
import type { SessionInfo } from '../worker/protocol.js';
import type { SampleSlice } from '../worker/sample-slice.js';
import {
  type RunResult,
  RunTimeoutError,
  WorkerDiedError,
  type WorkerThread,
} from '../worker/worker-thread.js';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
const WARM_UP_TIMEOUT_MS = 10_000;

export type SlotState = 'down' | 'starting' | 'idle' | 'busy' | 'loading' | 'closed';

export interface WorkerSlotOptions {
  readonly makeThread: () => WorkerThread;
  /** The probes that a new thread loads before it is idle. */
  readonly probes: ReadonlyMap<number, MeasuredProbe>;
  /** See EngineOptions. */
  readonly maxBatchSamples?: number | undefined;
  /** See EngineOptions. */
  readonly inferenceTimeoutMs?: number | undefined;
  /** See EngineOptions. */
  readonly warmUpTimeoutMs?: number | undefined;
  readonly log: EngineLog;
  /** Called when a thread becomes idle, except by the end of a run in time. */
  readonly onIdle: () => void;
  /** Called when a thread is lost. */
  readonly onDown: () => void;
  /** Called when the replacement of a lost thread starts. */
  readonly onRestart: () => void;
  /** Called with the thread of a run that hangs, which the slot has given up. */
  readonly onHang: (thread: WorkerThread, error: RunTimeoutError) => void;
}

/** A load or measurement that waits for the end of the current run. */
interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class WorkerSlot {
  readonly #options: WorkerSlotOptions;
  readonly #loaded = new Set<number>();
  readonly #waiters: Waiter[] = [];
  #state: SlotState = 'down';
  #thread: WorkerThread | undefined;
  #starting: Promise<void> = Promise.resolve();
  #restartTimer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(options: WorkerSlotOptions) {
    this.#options = options;
  }

  get state(): SlotState {
    return this.#state;
  }

  /** Whether the thread takes work, now or after what it is doing. */
  get isLive(): boolean {
    return this.#state === 'idle' || this.#state === 'busy' || this.#state === 'loading';
  }

  /** Starts a thread and loads every probe into it; resolves when it is idle or has failed. */
  start(): Promise<void> {
    if (this.#state === 'starting') return this.#starting;
    clearTimeout(this.#restartTimer);
    this.#state = 'starting';
    this.#starting = this.#loadProbes(this.#options.makeThread());
    return this.#starting;
  }

  hasLoaded(key: number): boolean {
    return this.#loaded.has(key);
  }

  /** Loads a measured probe between two runs. */
  load(probe: MeasuredProbe): Promise<SessionInfo> {
    return this.#betweenRuns(async (thread) => {
      const session = await warmUpProbe(thread, probe);
      this.#loaded.add(probe.key);
      return session;
    });
  }

  /** Releases a probe's session once the thread has finished the commands before. */
  unload(key: number): void {
    if (!this.#loaded.delete(key)) return;
    // If the thread dies or hangs meanwhile, its sessions are gone with it.
    this.#thread?.unload(key).catch(() => {});
  }

  /**
   * Runs one batch on the idle thread.
   * @throws {WorkerDiedError | RunTimeoutError | CommandFailedError}
   */
  async run(key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const thread = this.#currentThread();
    this.#state = 'busy';
    try {
      const result = await thread.run(key, slices, this.#options.inferenceTimeoutMs);
      this.#failures = 0;
      this.#finish('busy', 'idle');
      return result;
    } catch (error) {
      this.#onFailure('busy', error);
      throw error;
    }
  }

  /** Closes a thread that works but fails at something that other threads can do, and starts another. */
  async replace(reason: string): Promise<void> {
    this.#state = 'down';
    await this.#thread?.close();
    this.#onThreadLost(reason);
  }

  /** Waits until the thread has finished its commands and ended. */
  async close(): Promise<void> {
    clearTimeout(this.#restartTimer);
    await this.#starting;
    this.#state = 'closed';
    clearTimeout(this.#restartTimer);
    this.#rejectWaiters('the engine is closing');
    await this.#thread?.close();
  }

  async #loadProbes(thread: WorkerThread): Promise<void> {
    this.#thread = thread;
    this.#loaded.clear();
    void this.#watch(thread);
    try {
      // The map may change during this loop; its iterator includes what is added.
      for (const probe of this.#options.probes.values()) {
        await warmUpProbe(this.#warmUpThread(thread), probe);
        this.#loaded.add(probe.key);
        if (!this.#options.probes.has(probe.key)) this.unload(probe.key);
      }
    } catch (error) {
      if (error instanceof RunTimeoutError) return this.#onHang(error);
      if (!(error instanceof WorkerDiedError)) await thread.close();
      this.#onThreadLost(messageOf(error));
      return;
    }
    if (this.#state !== 'starting') return;
    this.#state = 'idle';
    this.#options.onIdle();
  }

  async #watch(thread: WorkerThread): Promise<void> {
    const reason = await thread.ended;
    // #loadProbes handles a death in the state 'starting'.
    if (reason !== undefined && this.#state !== 'starting' && this.#thread === thread)
      this.#onThreadLost(reason);
  }

  #onThreadLost(reason: string): void {
    this.#thread = undefined;
    this.#rejectWaiters(reason);
    if (this.#state === 'closed') return;
    this.#state = 'down';
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#options.log.error({ reason, pauseMs }, 'a worker thread was lost and will be replaced');
    this.#restartTimer = setTimeout(() => {
      this.#options.onRestart();
      void this.start();
    }, pauseMs);
    this.#options.onDown();
  }

  /** Does other work than runs in the thread, during which it takes no run. */
  async #betweenRuns<Result>(work: (thread: WarmUpThread) => Promise<Result>): Promise<Result> {
    if (this.#state === 'idle') this.#state = 'loading';
    else await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    try {
      const result = await work(this.#warmUpThread(this.#currentThread()));
      this.#finish('loading', 'idle');
      return result;
    } catch (error) {
      this.#onFailure('loading', error);
      throw error;
    }
  }

  /** Ends a run or a load and lets the next waiter begin. Does nothing if the slot was closed or lost its thread meanwhile. */
  #finish(from: 'busy' | 'loading', to: 'idle' | 'down'): void {
    if (this.#state !== from) return;
    const next = to === 'idle' ? this.#waiters.shift() : undefined;
    this.#state = next ? 'loading' : to;
    next?.resolve();
    if (from === 'loading' && this.#state === 'idle') this.#options.onIdle();
  }

  #rejectWaiters(reason: string): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new WorkerDiedError(reason));
  }

  #currentThread(): WorkerThread {
    if (!this.#thread) throw new WorkerDiedError('there is no worker thread at the moment');
    return this.#thread;
  }

  /** The thread with a time limit on its warm-up runs, which are cold and may take longer than others. */
  #warmUpThread(thread: WorkerThread): WarmUpThread {
    const { inferenceTimeoutMs = Infinity, warmUpTimeoutMs = WARM_UP_TIMEOUT_MS } = this.#options;
    const limitMs = Math.max(inferenceTimeoutMs, warmUpTimeoutMs);
    return {
      load: (command) => thread.load(command),
      unload: (key) => thread.unload(key),
      run: (key, slices) => thread.run(key, slices, limitMs),
    };
  }

  #onFailure(from: 'busy' | 'loading', error: unknown): void {
    if (error instanceof RunTimeoutError) this.#onHang(error);
    else this.#finish(from, error instanceof WorkerDiedError ? 'down' : 'idle');
  }

  /** A thread in native code cannot be stopped. It is left to its run, and another takes its place. */
  #onHang(error: RunTimeoutError): void {
    const thread = this.#thread;
    if (!thread) return;
    this.#onThreadLost(error.message);
    this.#options.onHang(thread, error);
  }
}
