/** One worker thread as the engine sees it: each command is a promise, and all open ones reject when the thread is lost. */
import { Worker } from 'node:worker_threads';

import { messageOf } from '../../errors.js';
import type { RunningClock } from '../../running-clock.js';
import type { Command, LoadCommand, Reply, RunResult, SessionInfo, WorkerSettings } from './protocol.js';
import type { SampleSlice } from './sample-slice.js';

/** The thread ended before it had replied. */
export class WorkerDiedError extends Error {}

/** A run has not ended in time. It goes on, since stopping its thread would abort the process, and takes the thread with it. */
export class RunTimeoutError extends Error {}

/** The worker could not execute a command; the message is the worker's own. */
export class CommandFailedError extends Error {
  /** The requested device cannot be used; the probe itself is sound. */
  readonly isDeviceUnavailable: boolean;

  constructor(message: string, isDeviceUnavailable: boolean) {
    super(message);
    this.isDeviceUnavailable = isDeviceUnavailable;
  }
}

interface OpenCommand {
  resolve(value: SessionInfo | RunResult | undefined): void;
  reject(error: Error): void;
}

export class WorkerThread {
  readonly #worker: Worker;
  readonly #clock: RunningClock;
  readonly #onLost: (error: Error) => void;
  /** In the order of their replies. */
  readonly #open: OpenCommand[] = [];
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

  /** Opens a session under the command's key. */
  async load(command: Omit<LoadCommand, 'kind'>): Promise<SessionInfo> {
    return (await this.#send({ kind: 'load', ...command })) as SessionInfo;
  }

  /**
   * Runs one batch in the session under this key.
   * @param limitMs of the process's running time, after which the thread is lost.
   */
  async run(key: number, slices: readonly SampleSlice[], limitMs = Infinity): Promise<RunResult> {
    const onLimit = (): void => this.#lose(new RunTimeoutError(`a run has taken longer than ${limitMs} ms`));
    const cancel = this.#clock.limit(limitMs, onLimit);
    try {
      return (await this.#send({ kind: 'run', key, slices })) as RunResult;
    } finally {
      cancel();
    }
  }

  async unload(key: number): Promise<void> {
    await this.#send({ kind: 'unload', key });
  }

  /** Lets the thread finish its commands, release its sessions and end. */
  async close(): Promise<void> {
    this.#lost ??= new WorkerDiedError('the worker thread is closing');
    this.#worker.postMessage({ kind: 'close' } satisfies Command, []);
    await this.#ended;
  }

  /** Lets the process end although the thread has not: a hung thread must not be terminated. */
  unref(): void {
    this.#worker.unref();
  }

  #send(command: Command): Promise<SessionInfo | RunResult | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#worker.postMessage(command, []);
      this.#open.push({ resolve, reject });
    });
  }

  #onReply(reply: Reply): void {
    const command = this.#open.shift();
    if ('value' in reply) command?.resolve(reply.value);
    else command?.reject(new CommandFailedError(reply.error, reply.isDeviceUnavailable));
  }

  #lose(error: Error): void {
    if (!this.#lost) {
      this.#lost = error;
      this.#onLost(error);
    }
    for (const command of this.#open.splice(0)) command.reject(error);
  }
}
