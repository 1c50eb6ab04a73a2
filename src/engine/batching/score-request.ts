/** One request between its arrival and its answer: batches take slices of it, and their scores are joined again. */
import { problem } from '../../errors.js';
import type { DecodedBody } from '../../wire/tensor.js';
import type { LoadedProbe } from '../repository/registry.js';
import type { EngineResult, ScoreOptions } from '../types.js';
import { problemOf, type SliceResult } from '../worker/protocol.js';
import { type SampleSlice, sampleCount, sliceOf, usedTokens } from '../worker/sample-slice.js';

/** A slice that a batch has taken, and its request. */
export interface RequestSlice {
  readonly request: ScoreRequest;
  readonly slice: SampleSlice;
}

/** The run that scored a slice. */
export interface RunTimes {
  /** On the clock of performance.now(), ms. */
  readonly startedAt: number;
  readonly ms: number;
  readonly batchSamples: number;
}

export class ScoreRequest {
  readonly probe: LoadedProbe;
  readonly samples: number;
  readonly bytes: number;
  /** See ScoreOptions. */
  readonly tenant: string;
  /** Of its longest sample, without the padding at its end. */
  readonly tokens: number;
  /** On the clock of performance.now(), ms; Infinity when the caller set none. */
  readonly deadline: number;
  readonly arrivedAt = performance.now();
  /** See ScoreOptions. */
  readonly origin: object | undefined;
  readonly answer: Promise<EngineResult>;
  readonly #scores: Float32Array;
  #body: DecodedBody | undefined;
  #taken = 0;
  #scored = 0;
  #stats: Omit<EngineResult, 'scores'> = { queueMs: 0, inferenceMs: 0, batchSamples: 0 };
  /** Undefined once the request is settled. */
  #settle: { resolve(result: EngineResult): void; reject(error: Error): void } | undefined;

  constructor(
    probe: LoadedProbe,
    body: DecodedBody,
    { deadline = Infinity, origin, tenant = '' }: ScoreOptions = {},
  ) {
    this.probe = probe;
    this.deadline = deadline;
    this.origin = origin;
    this.tenant = tenant;
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

  /** Samples that no batch has taken. */
  get waitingSamples(): number {
    return this.samples - this.#taken;
  }

  /** Takes the next samples, at most `limit`. */
  take(limit: number): RequestSlice {
    const body = this.#body;
    if (!body || this.waitingSamples === 0) throw new Error('nothing is left to take');
    const first = this.#taken;
    const samples = Math.min(limit, this.waitingSamples);
    this.#taken += samples;
    if (this.waitingSamples === 0) this.#body = undefined;
    return { request: this, slice: sliceOf(body, first, samples) };
  }

  /** Adds the scores of a slice, or fails with its fault. The last slice settles the request. */
  accept(slice: SampleSlice, result: SliceResult, run: RunTimes): void {
    if (this.isSettled) return;
    if ('fault' in result) {
      this.fail(problemOf(result.fault));
      return;
    }
    this.#scores.set(result.scores, slice.first);
    this.#scored += slice.samples;
    this.#stats = {
      queueMs: Math.max(this.#stats.queueMs, run.startedAt - this.arrivedAt),
      inferenceMs: Math.max(this.#stats.inferenceMs, run.ms),
      batchSamples: Math.max(this.#stats.batchSamples, run.batchSamples),
    };
    if (this.#scored < this.samples) return;
    this.#settle?.resolve({ scores: this.#scores, ...this.#stats });
    this.#settle = undefined;
  }

  /** Settles with an error. Does nothing when the request is settled already. */
  fail(error: Error): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
    this.#body = undefined;
  }
}
