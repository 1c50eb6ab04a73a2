/** One worker thread as the engine sees it: each command is a promise, and all open ones reject when the thread is lost. */
import { Worker } from 'node:worker_threads';

import { messageOf } from '../../errors.js';
import type { RunningClock } from '../../running-clock.js';
import type { Placement } from '../types.js';
import type { Command, Graph, Reply, RunResult, WorkerSettings } from './protocol.js';
import type { SampleSlice } from './sample-slice.js';

/** The thread ended before it had replied. */
export class WorkerDiedError extends Error {}

/** A run has not ended in time. It goes on, since stopping its thread would abort the process, and takes the thread with it. */
export class RunTimeoutError extends Error {}

/** A command that the worker could not execute rejects with an error of the worker's own message. */
export class WorkerThread {
  readonly settings: WorkerSettings;
  readonly #worker: Worker;
  readonly #clock: RunningClock;
  readonly #onLost: (error: Error) => void;
  /** In the order of their replies. */
  readonly #open: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  readonly #ended: Promise<void>;
  /** Why it takes no more commands. */
  #lost: Error | undefined;

  /** @param onLost is called before the open commands reject, unless the thread is closing. */
  constructor(
    url: URL,
    settings: WorkerSettings,
    clock: RunningClock,
    onLost: (error: Error) => void = () => {},
  ) {
    this.settings = settings;
    this.#clock = clock;
    this.#onLost = onLost;
    this.#worker = new Worker(url, { workerData: settings });
    this.#worker.on('message', (reply: Reply) => this.#onReply(reply));
    this.#worker.on('error', (error) => this.#lose(new WorkerDiedError(messageOf(error), { cause: error })));
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#lose(new WorkerDiedError(`the worker thread ended with code ${code}`));
        resolve();
      });
    });
  }

  /** Whether it would execute a command at once. */
  get isIdle(): boolean {
    return this.#open.length === 0;
  }

  /** Whether a run hangs in it. */
  get isHung(): boolean {
    return this.#lost instanceof RunTimeoutError;
  }

  /** Opens a session under a key, once the graph is found to be as its manifest says. */
  load(key: number, graph: Graph): Promise<Placement> {
    return this.#send({ kind: 'load', key, graph });
  }

  /**
   * Runs one batch in the session under this key.
   * @param limitMs of the process's running time, after which the thread is lost.
   */
  run(key: number, slices: readonly SampleSlice[], limitMs = Infinity): Promise<RunResult> {
    // A process may end although the run has not: a hung thread must not be terminated.
    const cancel = this.#clock.limit(limitMs, () => {
      this.#worker.unref();
      this.#lose(new RunTimeoutError(`a run has taken longer than ${limitMs} ms`));
    });
    return this.#send<RunResult>({ kind: 'run', key, slices }).finally(cancel);
  }

  unload(key: number): Promise<void> {
    return this.#send({ kind: 'unload', key });
  }

  /** Lets the thread finish its commands, release its sessions and end. */
  async close(): Promise<void> {
    this.#lost ??= new WorkerDiedError('the worker thread is closing');
    this.#worker.postMessage({ kind: 'close' } satisfies Command, []);
    await this.#ended;
  }

  /** The type of the value belongs to the kind of the command. */
  #send<Value>(command: Command): Promise<Value> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#worker.postMessage(command, []);
      this.#open.push({ resolve, reject });
    }) as Promise<Value>;
  }

  #onReply(reply: Reply): void {
    const command = this.#open.shift();
    if ('value' in reply) command?.resolve(reply.value);
    else command?.reject(new Error(reply.error));
  }

  #lose(error: Error): void {
    if (!this.#lost) {
      this.#lost = error;
      this.#onLost(error);
    }
    for (const command of this.#open.splice(0)) command.reject(error);
  }
}
