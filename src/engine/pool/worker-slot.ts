/**
 * Owns one place for a worker thread: it keeps a living thread in it, and knows whether that thread can take a run.
 *
 *     down ──start──▶ starting ──prepared──▶ idle ◀──▶ busy ──too long──▶ hung ──ends after all──▶ idle
 *      ▲                 │                   ▲ │         │
 *      │                 │           a probe ▼ │ loads   │
 *      │                 │              preparing        │
 *      └─────────────────┴───────────────────┴───────────┴── the thread died: again, after a pause
 */
import { allCoresKey } from '../warm-up/all-cores.js';
import { withTimeout, RunTimeoutError } from '../worker/run-timeout.js';
import {
  type KeyedProbe,
  type MeasuredProbe,
  measureProbe,
  type WarmUpResult,
  prepareProbe,
  type ProvingThread,
  type RunSettings,
} from '../warm-up/warm-up.js';
import type { SampleSlice } from '../worker/protocol.js';
import { messageOf } from '../../errors.js';
import { type WorkerThread, type RunResult, WorkerDiedError } from '../worker/worker-thread.js';
import type { EngineLog } from '../types.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
const PROOF_TIMEOUT_MS = 10_000;

export type SlotState = 'down' | 'starting' | 'idle' | 'busy' | 'preparing' | 'hung' | 'closed';

export interface WorkerSlotOptions extends RunSettings {
  readonly makeThread: () => WorkerThread;
  /** The probes that a new thread must hold before it is idle. */
  readonly probes: ReadonlyMap<number, MeasuredProbe>;
  /** Nothing else runs or waits, so that a run may have all cores. Asked when a run begins. */
  readonly isAlone: () => boolean;
  /** Left out: a run may take for ever. */
  readonly inferenceTimeoutMs?: number | undefined;
  /** A probe's first runs are cold and may take at least so long, ms; 10,000 when left out. */
  readonly proofTimeoutMs?: number | undefined;
  readonly log: EngineLog;
  /** Called whenever a thread becomes idle other than by the end of a run in time. */
  readonly onIdle: () => void;
  /** Called when a thread has been lost or hangs. */
  readonly onDown: () => void;
  /** Called when a lost thread's successor starts. */
  readonly onRestart: () => void;
  /** Called when a run hangs. */
  readonly onHang: (reason: string) => void;
}

export interface SlotRunResult extends RunResult {
  /** Such a run says nothing of how long others take. */
  readonly hadAllCores: boolean;
}

/** Somebody who waits for the end of the run under way. */
interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class WorkerSlot {
  readonly #options: WorkerSlotOptions;
  readonly #held = new Set<number>();
  readonly #waiters: Waiter[] = [];
  #state: SlotState = 'down';
  #thread: WorkerThread | undefined;
  #starting: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(options: WorkerSlotOptions) {
    this.#options = options;
  }

  get state(): SlotState {
    return this.#state;
  }

  /** There is a thread that answers sooner or later. */
  get isLive(): boolean {
    return this.#state === 'idle' || this.#state === 'busy' || this.#state === 'preparing';
  }

  /** Starts a thread and brings it up to date; resolves when it is idle or has failed. */
  start(): Promise<void> {
    if (this.#state === 'starting') return this.#starting;
    clearTimeout(this.#restart);
    this.#state = 'starting';
    this.#starting = this.#bringUp(this.#options.makeThread());
    return this.#starting;
  }

  /** Loads and measures a new probe in the living thread between two runs, as measureProbe does. */
  measure(probe: KeyedProbe): Promise<WarmUpResult> {
    return this.#betweenRuns(async (thread) => {
      const prepared = await measureProbe(thread, probe, this.#options);
      this.#held.add(probe.key);
      return prepared;
    });
  }

  /** Loads a measured probe into the living thread between two runs; nothing happens if it is there. */
  async load(probe: MeasuredProbe): Promise<void> {
    if (this.#held.has(probe.key)) return;
    await this.#betweenRuns(async (thread) => {
      await prepareProbe(thread, probe, this.#options);
      this.#held.add(probe.key);
    });
  }

  /** Releases a probe in the thread, after what it has been given to do. */
  unload(key: number): void {
    if (!this.#held.delete(key)) return;
    // A thread that dies or hangs meanwhile takes the sessions along.
    for (const each of [key, allCoresKey(key)]) this.#thread?.unload(each).catch(() => {});
  }

  /**
   * Runs one batch on the idle thread.
   * @throws {WorkerDiedError | RunTimeoutError | OrderFailedError}
   */
  async run(key: number, slices: readonly SampleSlice[]): Promise<SlotRunResult> {
    const thread = this.#living();
    this.#state = 'busy';
    const hadAllCores = this.#getsAllCores(key, slices);
    const run = thread.run(hadAllCores ? allCoresKey(key) : key, slices);
    try {
      const reply = await withTimeout(run, this.#options.inferenceTimeoutMs);
      this.#failures = 0;
      this.#endTurn('busy', 'idle');
      return { ...reply, hadAllCores };
    } catch (error) {
      if (error instanceof RunTimeoutError) this.#hang(run, error.message);
      else this.#endTurn('busy', error instanceof WorkerDiedError ? 'down' : 'idle');
      throw error;
    }
  }

  /** Replaces a thread that lives but is of no use. */
  async replace(reason: string): Promise<void> {
    this.#state = 'down';
    await this.#thread?.close();
    this.#lose(reason);
  }

  /** Waits for the thread to finish what it has, and to end. A hanging one is left behind. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    const isHung = this.#state === 'hung';
    await this.#starting;
    if (!isHung) this.#state = 'closed';
    this.#turnAway('the engine is closing');
    const ended = this.#thread?.close();
    if (isHung) this.#thread?.abandon();
    else await ended;
    clearTimeout(this.#restart);
  }

  async #bringUp(thread: WorkerThread): Promise<void> {
    this.#thread = thread;
    this.#held.clear();
    void this.#watch(thread);
    try {
      // Probes that are added or taken away meanwhile count too.
      for (const probe of this.#options.probes.values()) {
        await prepareProbe(this.#inTimeOn(thread), probe, this.#options);
        this.#held.add(probe.key);
        if (!this.#options.probes.has(probe.key)) this.unload(probe.key);
      }
    } catch (error) {
      if (this.#state === 'hung') return;
      if (!(error instanceof WorkerDiedError)) await thread.close();
      this.#lose(messageOf(error));
      return;
    }
    if (this.#state !== 'starting') return;
    this.#state = 'idle';
    this.#options.onIdle();
  }

  async #watch(thread: WorkerThread): Promise<void> {
    const reason = await thread.ended;
    // A thread that dies while it is brought up is dealt with there.
    if (reason !== undefined && this.#state !== 'starting' && this.#thread === thread) this.#lose(reason);
  }

  #lose(reason: string): void {
    this.#thread = undefined;
    this.#turnAway(reason);
    if (this.#state === 'closed') return;
    this.#state = 'down';
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#options.log.error({ reason, pauseMs }, 'a worker thread was lost and will be replaced');
    this.#restart = setTimeout(() => {
      this.#options.onRestart();
      void this.start();
    }, pauseMs);
    this.#options.onDown();
  }

  /** Does something longer in the thread, during which it takes no run. */
  async #betweenRuns<Result>(work: (thread: ProvingThread) => Promise<Result>): Promise<Result> {
    if (this.#state === 'idle') this.#state = 'preparing';
    else await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    try {
      const result = await work(this.#inTimeOn(this.#living()));
      this.#endPreparing('idle');
      return result;
    } catch (error) {
      this.#endPreparing(error instanceof WorkerDiedError ? 'down' : 'idle');
      throw error;
    }
  }

  #endPreparing(to: 'idle' | 'down'): void {
    this.#endTurn('preparing', to);
    if (this.#state === 'idle') this.#options.onIdle();
  }

  /** The thread may have been told to end meanwhile; then it stays as it is. Who waits for it is next. */
  #endTurn(from: 'busy' | 'preparing', to: 'idle' | 'down'): void {
    if (this.#state !== from) return;
    const next = to === 'idle' ? this.#waiters.shift() : undefined;
    this.#state = next ? 'preparing' : to;
    next?.resolve();
  }

  #turnAway(reason: string): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new WorkerDiedError(reason));
  }

  #getsAllCores(key: number, slices: readonly SampleSlice[]): boolean {
    const { probes, isAlone } = this.#options;
    const { allCoresFrom = Infinity } = probes.get(key)?.plan ?? {};
    return slices.reduce((sum, { samples }) => sum + samples, 0) >= allCoresFrom && isAlone();
  }

  #living(): WorkerThread {
    if (!this.#thread) throw new WorkerDiedError('there is no thread at the moment');
    return this.#thread;
  }

  /** The thread for a probe that proves itself: a run that hangs there is no better than one of requests. */
  #inTimeOn(thread: WorkerThread): ProvingThread {
    const { inferenceTimeoutMs = Infinity, proofTimeoutMs = PROOF_TIMEOUT_MS } = this.#options;
    return {
      load: (order) => thread.load(order),
      unload: (key) => thread.unload(key),
      run: async (key, slices) => {
        const run = thread.run(key, slices);
        try {
          return await withTimeout(run, Math.max(inferenceTimeoutMs, proofTimeoutMs));
        } catch (error) {
          if (error instanceof RunTimeoutError) this.#hang(run, error.message);
          throw error;
        }
      },
    };
  }

  #hang(run: Promise<RunResult>, reason: string): void {
    this.#state = 'hung';
    this.#options.log.error({}, 'a run hangs; its worker thread takes no more work');
    this.#turnAway(reason);
    const recover = (): void => {
      if (this.#state !== 'hung') return;
      this.#state = 'idle';
      this.#options.onIdle();
    };
    this.#options.onHang(reason);
    this.#options.onDown();
    // If the thread dies instead, the watch over it deals with that.
    run.then(recover, (error: unknown) => {
      if (!(error instanceof WorkerDiedError)) recover();
    });
  }
}
