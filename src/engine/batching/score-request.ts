/** Owns one request between its arrival and its answer: given out in parts, joined again, settled once. */
import { problem } from '../../errors.js';
import type { DecodedBody } from '../../wire/tensor.js';
import type { LoadedProbe } from '../repository/registry.js';
import { problemOf, type SliceResult } from '../worker/protocol.js';
import { type SampleSlice, sliceOf, sampleCount, usedTokens } from '../worker/sample-slice.js';
import type { EngineResult, ScoreOptions } from '../types.js';

/** A part that was given out, and whom it belongs to. */
export interface RequestSlice {
  readonly request: ScoreRequest;
  readonly slice: SampleSlice;
}

/** What is known of the run that a part was in. */
export interface RunFacts {
  readonly startedAt: number;
  readonly ms: number;
  readonly batchSamples: number;
}

export class ScoreRequest {
  readonly probe: LoadedProbe;
  readonly samples: number;
  readonly bytes: number;
  /** Of its longest sample, padding at the end left out. */
  readonly tokens: number;
  /** On the clock of performance.now(), ms; Infinity where the caller waits as long as it takes. */
  readonly deadline: number;
  readonly arrivedAt = performance.now();
  /** Whatever the caller wants to know the request by. */
  readonly origin: object | undefined;
  readonly answer: Promise<EngineResult>;
  readonly #scores: Float32Array;
  #body: DecodedBody | undefined;
  #taken = 0;
  #scored = 0;
  #facts: Omit<EngineResult, 'scores'> = { queueMs: 0, inferenceMs: 0, batchSamples: 0 };
  #settle: { resolve(result: EngineResult): void; reject(error: Error): void } | undefined;

  constructor(probe: LoadedProbe, body: DecodedBody, { deadline = Infinity, origin }: ScoreOptions = {}) {
    this.probe = probe;
    this.deadline = deadline;
    this.origin = origin;
    this.samples = sampleCount(body);
    if (this.samples === 0) {
      throw problem('empty_batch', 'The request holds no sample.', { field: 'timestep', received: 0 });
    }
    this.bytes = body.bytes.byteLength;
    this.tokens = usedTokens(body);
    this.#body = body;
    this.#scores = new Float32Array(this.samples);
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  get isSettled(): boolean {
    return this.#settle === undefined;
  }

  /** Samples that have not been given out. */
  get waiting(): number {
    return this.samples - this.#taken;
  }

  /** Gives out the next samples, at most `limit`. */
  take(limit: number): RequestSlice {
    const body = this.#body;
    if (!body || this.waiting === 0) throw new Error('nothing is left to take');
    const first = this.#taken;
    const samples = Math.min(limit, this.waiting);
    this.#taken += samples;
    if (this.waiting === 0) this.#body = undefined;
    return { request: this, slice: sliceOf(body, first, samples) };
  }

  /** Takes in one part's result; the last one settles the request. */
  accept(slice: SampleSlice, result: SliceResult, run: RunFacts): void {
    if (this.isSettled) return;
    if ('fault' in result) {
      this.fail(problemOf(result.fault));
      return;
    }
    this.#scores.set(result.scores, slice.first);
    this.#scored += slice.samples;
    this.#facts = {
      queueMs: Math.max(this.#facts.queueMs, run.startedAt - this.arrivedAt),
      inferenceMs: Math.max(this.#facts.inferenceMs, run.ms),
      batchSamples: Math.max(this.#facts.batchSamples, run.batchSamples),
    };
    if (this.#scored < this.samples) return;
    this.#settle?.resolve({ scores: this.#scores, ...this.#facts });
    this.#settle = undefined;
  }

  /** Settles with an error; nothing happens to a request that is settled already. */
  fail(error: Error): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
    this.#body = undefined;
  }
}
