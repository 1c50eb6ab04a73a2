/**
 * Owns one place for a worker thread: it keeps a living thread in it, and knows whether that thread can take a run.
 *
 *     down ──start──▶ starting ──prepared──▶ idle ◀──▶ busy ──too long──▶ hung ──ends after all──▶ idle
 *      ▲─────────────────┴───────────────────┴─────────┴── the thread died: again, after a pause
 */
import { type KeyedProbe, prepareProbe } from './prepare.js';
import type { BatchPart, LoadReply, RunReply } from './protocol.js';
import { reasonOf } from './refusal.js';
import { type EngineThread, ThreadDied } from './thread.js';
import type { EngineLog } from './types.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

export type SlotState = 'down' | 'starting' | 'idle' | 'busy' | 'hung' | 'closed';

/** A run that has not ended in time. Its thread cannot be stopped: that would abort the process. */
export class RunHangs extends Error {}

export interface WorkerSlotOptions {
  readonly makeThread: () => EngineThread;
  /** The probes that a new thread must hold before it is idle. */
  readonly probes: ReadonlyMap<number, KeyedProbe>;
  readonly maxBatchSamples: number;
  /** Left out: a run may take for ever. */
  readonly inferenceTimeoutMs?: number;
  readonly log: EngineLog;
  /** Called whenever a thread becomes idle other than by the end of a run in time. */
  readonly onIdle: () => void;
  /** Called when a thread has been lost or hangs. */
  readonly onDown: () => void;
  /** Called when a lost thread's successor starts. */
  readonly onRestart: () => void;
}

export class WorkerSlot {
  readonly #options: WorkerSlotOptions;
  #state: SlotState = 'down';
  #thread: EngineThread | undefined;
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
    return this.#state === 'idle' || this.#state === 'busy';
  }

  /** Starts a thread and brings it up to date; resolves when it is idle or has failed. */
  start(): Promise<void> {
    if (this.#state === 'starting') return this.#starting;
    clearTimeout(this.#restart);
    this.#state = 'starting';
    this.#starting = this.#bringUp(this.#options.makeThread());
    return this.#starting;
  }

  /** Loads one more probe into the living thread, as prepareProbe does. */
  load(probe: KeyedProbe): Promise<LoadReply> {
    return prepareProbe(this.#living(), probe, this.#options.maxBatchSamples);
  }

  /**
   * Runs one batch on the idle thread.
   * @throws {ThreadDied | RunHangs | OrderFailed}
   */
  async run(key: number, parts: readonly BatchPart[]): Promise<RunReply> {
    const thread = this.#living();
    this.#state = 'busy';
    const run = thread.run(key, parts);
    try {
      const reply = await this.#inTime(run);
      this.#failures = 0;
      this.#endRun('idle');
      return reply;
    } catch (error) {
      if (error instanceof RunHangs) this.#hang(run);
      else this.#endRun(error instanceof ThreadDied ? 'down' : 'idle');
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
    this.#state = 'closed';
    const ended = this.#thread?.close();
    if (isHung) this.#thread?.abandon();
    else await ended;
    clearTimeout(this.#restart);
  }

  async #bringUp(thread: EngineThread): Promise<void> {
    this.#thread = thread;
    void this.#watch(thread);
    try {
      for (const probe of this.#options.probes.values()) {
        await prepareProbe(thread, probe, this.#options.maxBatchSamples);
      }
    } catch (error) {
      if (!(error instanceof ThreadDied)) await thread.close();
      this.#lose(reasonOf(error));
      return;
    }
    if (this.#state !== 'starting') return;
    this.#state = 'idle';
    this.#options.onIdle();
  }

  async #watch(thread: EngineThread): Promise<void> {
    const reason = await thread.ended;
    // A thread that dies while it is brought up is dealt with there.
    if (reason !== undefined && this.#state !== 'starting' && this.#thread === thread) this.#lose(reason);
  }

  #lose(reason: string): void {
    this.#thread = undefined;
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

  /** The thread may have been told to end meanwhile; then it stays as it is. */
  #endRun(state: 'idle' | 'down'): void {
    if (this.#state === 'busy') this.#state = state;
  }

  #living(): EngineThread {
    if (!this.#thread) throw new ThreadDied('there is no thread at the moment');
    return this.#thread;
  }

  async #inTime(run: Promise<RunReply>): Promise<RunReply> {
    const { inferenceTimeoutMs } = this.#options;
    if (inferenceTimeoutMs === undefined) return run;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new RunHangs(`a run has taken longer than ${inferenceTimeoutMs} ms`)),
        inferenceTimeoutMs,
      );
    });
    try {
      return await Promise.race([run, tooLong]);
    } finally {
      clearTimeout(timer);
    }
  }

  #hang(run: Promise<RunReply>): void {
    this.#state = 'hung';
    this.#options.log.error({}, 'a run hangs; its worker thread takes no more work');
    const recover = (): void => {
      if (this.#state !== 'hung') return;
      this.#state = 'idle';
      this.#options.onIdle();
    };
    this.#options.onDown();
    // If the thread dies instead, the watch over it deals with that.
    run.then(recover, (error: unknown) => {
      if (!(error instanceof ThreadDied)) recover();
    });
  }
}
