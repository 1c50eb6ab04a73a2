/**
 * Reads JSON bodies in a thread, so that neither their size nor their shape holds the event loop: what comes back is small or
 * shared memory. See docs/adr/0025-json-off-the-event-loop.md.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { type ErrorCode, problem, type ProblemExtra } from '../errors.js';
import type { InferenceBody } from './inference-protocol.js';
import type { DecodedBody, Dtype } from './tensor.js';

const WORKER_URL = new URL('json-worker.js', import.meta.url);
/** Above it, no more bodies of requests to score may wait. */
const MAX_WAITING = 64;
/** What the largest body to /feedback needs, and how much of a body to /score each further MiB is enough for. */
const HEAP_MIB = 512;
const BODY_BYTES_PER_HEAP_MIB = 8192;

/** A body to /feedback. */
export interface FeedbackTask {
  readonly bytes: SharedArrayBuffer;
}

/** A body to /score. */
export interface ScoreTask extends FeedbackTask {
  /** The inputs of each probe that the request's `model` may name: nested lists take their dtypes. */
  readonly inputs: ReadonlyMap<
    string | undefined,
    readonly { readonly name: string; readonly dtype: Dtype }[]
  >;
}

/** A body of the Open Inference Protocol that is JSON alone. */
export interface InferenceTask extends FeedbackTask {
  readonly isInference: true;
}

/** An item of feedback; unchecked, but neither a list nor an object. */
export interface JsonReceipt {
  readonly receipt: unknown;
  readonly quality: unknown;
}

export type JsonReply =
  | { readonly value: unknown }
  | { readonly refusal: { readonly code: ErrorCode; readonly detail: string; readonly extra: ProblemExtra } };

/** The thread starts with the first body, reads one after the other, and starts again after a failure. */
export class JsonThread {
  readonly #maxBodyBytes: number;
  #worker: Worker | undefined;
  /** Resolves when all bodies so far have been read. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param maxBodyBytes of a request to /score. */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /**
   * Reads one body.
   * @throws {ProblemError} `malformed_body`, `invalid_feedback`, `overloaded`; once the signal has fired, the signal's reason.
   */
  read(task: ScoreTask, signal: AbortSignal): Promise<DecodedBody>;
  read(task: InferenceTask, signal: AbortSignal): Promise<InferenceBody>;
  read(task: FeedbackTask): Promise<JsonReceipt[]>;
  async read(task: FeedbackTask, signal = new AbortController().signal): Promise<unknown> {
    signal.throwIfAborted();
    if (this.#waiting >= MAX_WAITING && ('inputs' in task || 'isInference' in task))
      throw problem('overloaded', `${this.#waiting} JSON bodies are waiting.`);
    this.#waiting += 1;
    const value = this.#last.then(() => {
      this.#waiting -= 1;
      signal.throwIfAborted();
      return this.#run(task);
    });
    this.#last = value.catch(() => {});
    return await Promise.race([value, once(signal, 'abort').then(() => signal.throwIfAborted())]);
  }

  async #run(task: FeedbackTask): Promise<unknown> {
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    try {
      const replied = once(worker, 'message');
      worker.postMessage(task, []);
      const [reply] = (await replied) as [JsonReply];
      if ('value' in reply) return reply.value;
      const { code, detail, extra } = reply.refusal;
      throw problem(code, detail, extra);
    } finally {
      // An idle thread does not keep the process alive.
      worker.unref();
    }
  }

  #start(): Worker {
    const maxOldGenerationSizeMb = HEAP_MIB + this.#maxBodyBytes / BODY_BYTES_PER_HEAP_MIB;
    const worker = new Worker(WORKER_URL, { resourceLimits: { maxOldGenerationSizeMb } });
    worker.once('error', () => {
      this.#worker = undefined;
    });
    return worker;
  }
}
