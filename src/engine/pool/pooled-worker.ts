/** A worker of the pool, from the start of its thread until the thread is lost. It runs batches once it holds every probe. */
import type { RunResult } from '../worker/protocol.js';
import type { SampleSlice } from '../worker/sample-slice.js';
import type { WorkerThread } from '../worker/worker-thread.js';

/** How a worker starts. */
export interface WorkerStart {
  /** See PooledWorker. */
  readonly failures: number;
  /** See PooledWorker. */
  readonly wideThreads?: number | undefined;
}

export class PooledWorker {
  readonly thread: WorkerThread;
  /** The threads of its runs when they have more than those of the others. */
  readonly wideThreads: number | undefined;
  readonly #runLimitMs: number | undefined;
  /** How many workers were lost in a row, this one's predecessors, without a run that succeeded. */
  failures: number;
  holdsEveryProbe = false;
  #tasks = 0;

  constructor(thread: WorkerThread, { failures, wideThreads }: WorkerStart, runLimitMs: number | undefined) {
    this.thread = thread;
    this.wideThreads = wideThreads;
    this.failures = failures;
    this.#runLimitMs = runLimitMs;
  }

  get isWide(): boolean {
    return this.wideThreads !== undefined;
  }

  /** Whether it can take a run at once. */
  get isIdle(): boolean {
    return this.holdsEveryProbe && this.#tasks === 0;
  }

  /**
   * Runs one batch.
   * @throws {WorkerDiedError | RunTimeoutError | CommandFailedError}
   */
  async run(key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const result = await this.busyWith(this.thread.run(key, slices, this.#runLimitMs));
    this.failures = 0;
    return result;
  }

  /** Takes no run until the task has ended. */
  async busyWith<Result>(task: Promise<Result>): Promise<Result> {
    this.#tasks += 1;
    try {
      return await task;
    } finally {
      this.#tasks -= 1;
    }
  }
}
