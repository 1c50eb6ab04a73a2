/** One worker thread as the engine sees it: each command is a promise, and all open ones reject when the thread dies. */
import { Worker } from 'node:worker_threads';

import { messageOf } from '../../errors.js';
import type { RunningClock } from '../../running-clock.js';
import { type InputLayout, layoutOf } from './input-layout.js';
import { packSlices } from './packing.js';
import type {
  Command,
  CommandMessage,
  LoadCommand,
  ReplyMessage,
  ReplyValue,
  RunReply,
  SessionInfo,
  SliceResult,
  WorkerSettings,
} from './protocol.js';
import type { SampleSlice } from './sample-slice.js';

/** The thread ended unexpectedly or before it had replied. */
export class WorkerDiedError extends Error {}

/** A run has not ended in time. It goes on, since stopping its thread would abort the process. */
export class RunTimeoutError extends Error {
  readonly run: Promise<RunResult>;

  constructor(limitMs: number, run: Promise<RunResult>) {
    super(`a run has taken longer than ${limitMs} ms`);
    this.run = run;
  }
}

/** The worker could not execute a command; the message is the worker's own. */
export class CommandFailedError extends Error {
  /** The requested device cannot be used; the probe itself is sound. */
  readonly isDeviceUnavailable: boolean;

  constructor(message: string, isDeviceUnavailable: boolean) {
    super(message);
    this.isDeviceUnavailable = isDeviceUnavailable;
  }
}

interface PendingReply {
  resolve(value: ReplyValue): void;
  reject(error: Error): void;
}

export interface RunResult {
  /** One per slice, in order. */
  readonly results: readonly SliceResult[];
  /** Checks, assembly and inference, ms. */
  readonly ms: number;
}

export class WorkerThread {
  /** Resolves when the thread has ended: with undefined after close(), else with the reason. */
  readonly ended: Promise<string | undefined>;
  readonly #worker: Worker;
  readonly #clock: RunningClock;
  readonly #pending = new Map<number, PendingReply>();
  readonly #layouts = new Map<number, readonly InputLayout[]>();
  #lastId = 0;
  #isClosing = false;
  #deathReason: string | undefined;

  constructor(url: URL, settings: WorkerSettings, clock: RunningClock) {
    this.#clock = clock;
    this.#worker = new Worker(url, { workerData: settings });
    this.#worker.on('message', (reply: ReplyMessage) => this.#onReply(reply));
    this.#worker.on('error', (error) => {
      this.#deathReason = messageOf(error);
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => resolve(this.#onExit(code)));
    });
  }

  /** Opens a session under the command's key. */
  async load(command: Omit<LoadCommand, 'kind'>): Promise<SessionInfo> {
    this.#layouts.set(command.key, command.inputs.map(layoutOf));
    return (await this.#send({ kind: 'load', ...command })) as SessionInfo;
  }

  /**
   * Runs one batch in the session under this key.
   * @throws {RunTimeoutError} when there is no result after `limitMs` of the process's running time.
   */
  async run(key: number, slices: readonly SampleSlice[], limitMs = Infinity): Promise<RunResult> {
    const run = this.#run(key, slices);
    if (limitMs === Infinity) return run;
    let cancel = (): void => {};
    const timeout = new Promise<never>((_, reject) => {
      cancel = this.#clock.limit(limitMs, () => reject(new RunTimeoutError(limitMs, run)));
    });
    try {
      return await Promise.race([run, timeout]);
    } finally {
      cancel();
    }
  }

  async unload(key: number): Promise<void> {
    this.#layouts.delete(key);
    await this.#send({ kind: 'unload', key });
  }

  /** Lets the thread finish its commands, release its sessions and end. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#worker.postMessage({ id: 0, command: { kind: 'close' } } satisfies CommandMessage, []);
    await this.ended;
  }

  /** Lets the process end although the thread has not: a hung thread must not be terminated. */
  abandon(): void {
    this.#worker.unref();
  }

  async #run(key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const packed = packSlices(slices, this.#layouts.get(key) ?? []);
    const reply = (await this.#send({ kind: 'run', key, ...packed })) as RunReply;
    return { results: resultsOf(slices, reply), ms: reply.ms };
  }

  #send(command: Command): Promise<ReplyValue> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#deathReason !== undefined) {
        reject(new WorkerDiedError(this.#deathReason));
        return;
      }
      this.#worker.postMessage({ id, command } satisfies CommandMessage, []);
      this.#pending.set(id, { resolve, reject });
    });
  }

  #onReply(reply: ReplyMessage): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ('error' in reply) pending?.reject(new CommandFailedError(reply.error, reply.isDeviceUnavailable));
    else pending?.resolve(reply.value);
  }

  #onExit(code: number): string | undefined {
    const reason = this.#deathReason ?? `the worker thread ended with code ${code}`;
    this.#deathReason = reason;
    for (const pending of this.#pending.values()) pending.reject(new WorkerDiedError(reason));
    this.#pending.clear();
    return this.#isClosing ? undefined : reason;
  }
}

function resultsOf(slices: readonly SampleSlice[], { scores, faults }: RunReply): SliceResult[] {
  const results: SliceResult[] = [];
  let start = 0;
  for (const { samples } of slices) {
    results.push({ scores: scores.slice(start, start + samples) });
    start += samples;
  }
  for (const [index, fault] of faults) results[index] = { fault };
  return results;
}
