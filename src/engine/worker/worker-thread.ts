/** Owns one worker thread as seen from outside: orders become promises, and its death rejects what it still owed. */
import { Worker } from 'node:worker_threads';

import { type InputLayout, layoutOf } from './input-layout.js';
import type {
  SampleSlice,
  LoadOrder,
  LoadReply,
  Order,
  SliceResult,
  Reply,
  Request,
  RunReply,
  WorkerSettings,
} from './protocol.js';
import { messageOf } from '../../errors.js';
import { packSlices } from './packing.js';

/** The thread ended while it owed an answer, or without being told to. */
export class WorkerDiedError extends Error {}

/** The worker's own words for an order it could not carry out. */
export class OrderFailedError extends Error {
  /** The device asked for is not there; the probe itself is sound. */
  readonly isDevice: boolean;

  constructor(message: string, isDevice: boolean) {
    super(message);
    this.isDevice = isDevice;
  }
}

interface Owed {
  resolve(value: LoadReply | RunReply | undefined): void;
  reject(error: Error): void;
}

/** What became of a run's parts, in their order. */
export interface RunResult {
  readonly results: readonly SliceResult[];
  /** Checks, assembly and inference, ms. */
  readonly ms: number;
}

export class WorkerThread {
  /** Settles when the thread has ended, with the reason unless it was told to. */
  readonly ended: Promise<string | undefined>;
  readonly #worker: Worker;
  readonly #owed = new Map<number, Owed>();
  readonly #layouts = new Map<number, readonly InputLayout[]>();
  #calls = 0;
  #isClosing = false;
  #deathReason: string | undefined;

  constructor(url: URL, settings: WorkerSettings) {
    this.#worker = new Worker(url, { workerData: settings });
    this.#worker.on('message', (reply: Reply) => this.#settle(reply));
    this.#worker.on('error', (error) => {
      this.#deathReason = messageOf(error);
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => resolve(this.#bury(code)));
    });
  }

  /** Opens a session under the order's key. */
  async load(order: Omit<LoadOrder, 'kind'>): Promise<LoadReply> {
    this.#layouts.set(order.key, order.inputs.map(layoutOf));
    const value = await this.#call({ kind: 'load', ...order });
    if (!value || !('provider' in value)) throw new TypeError('a load was answered by something else');
    return value;
  }

  /** Runs one batch. */
  async run(key: number, slices: readonly SampleSlice[]): Promise<RunResult> {
    const packed = packSlices(slices, this.#layouts.get(key) ?? []);
    const value = await this.#call({ kind: 'run', key, ...packed });
    if (!value || !('scores' in value)) throw new TypeError('a run was answered by something else');
    return { results: resultsOf(slices, value), ms: value.ms };
  }

  async unload(key: number): Promise<void> {
    this.#layouts.delete(key);
    await this.#call({ kind: 'unload', key });
  }

  /** Lets the thread finish its orders, release its sessions and end. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#worker.postMessage({ call: 0, order: { kind: 'close' } } satisfies Request, []);
    await this.ended;
  }

  /** No longer keeps the process alive. For a thread that hangs: it must not be forced to end, only be left behind. */
  abandon(): void {
    this.#worker.unref();
  }

  #call(order: Order): Promise<LoadReply | RunReply | undefined> {
    this.#calls += 1;
    const call = this.#calls;
    return new Promise((resolve, reject) => {
      if (this.#deathReason !== undefined) {
        reject(new WorkerDiedError(this.#deathReason));
        return;
      }
      this.#worker.postMessage({ call, order } satisfies Request, []);
      this.#owed.set(call, { resolve, reject });
    });
  }

  #settle(reply: Reply): void {
    const owed = this.#owed.get(reply.call);
    this.#owed.delete(reply.call);
    if ('error' in reply) owed?.reject(new OrderFailedError(reply.error, reply.isDevice));
    else owed?.resolve(reply.value);
  }

  #bury(exitCode: number): string | undefined {
    const reason = this.#deathReason ?? `the worker thread ended with code ${exitCode}`;
    this.#deathReason = reason;
    for (const owed of this.#owed.values()) owed.reject(new WorkerDiedError(reason));
    this.#owed.clear();
    return this.#isClosing ? undefined : reason;
  }
}

function resultsOf(slices: readonly SampleSlice[], { scores, faults }: RunReply): SliceResult[] {
  let start = 0;
  const results: SliceResult[] = slices.map(({ samples }) => {
    const own = scores.slice(start, start + samples);
    start += samples;
    return { scores: own };
  });
  for (const [index, fault] of faults) results[index] = { fault };
  return results;
}
