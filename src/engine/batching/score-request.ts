/** One request between its arrival and its answer. A request larger than a batch is scored in parts, whose scores are joined. */
import { problem } from '../../errors.js';
import type { DecodedBody } from '../../wire/tensor.js';
import type { BatchRun, EngineResult, ScoreOptions, ServedProbe } from '../types.js';
import { type SampleSlice, sampleCount, sliceOf, usedTokens } from '../worker/sample-slice.js';

/** The samples of a request that are scored in one run: all of them, unless the request is larger than a batch. */
export interface Part {
  readonly request: ScoreRequest;
  readonly samples: number;
  readonly tokens: number;
  /** Of the whole request at its last part, which leaves the queue last. */
  readonly bytes: number;
  readonly slice: SampleSlice;
}

/** What one run of a worker scores. The run starts when the batch is formed. */
export interface Batch extends Pick<BatchRun, 'probe' | 'samples' | 'paddedTokens' | 'from'> {
  readonly parts: readonly Part[];
  /** How long its run is expected to take, ms. */
  readonly predictedMs: number;
}

export class ScoreRequest {
  readonly probe: ServedProbe;
  readonly samples: number;
  readonly bytes: number;
  /** Of its longest sample, without the padding at its end; at least 1. */
  readonly tokens: number;
  /** Of nearly equal size, in order. */
  readonly parts: readonly Part[];
  /** See ScoreOptions; Infinity when the caller set none. */
  readonly deadline: number;
  readonly tenant: string;
  readonly origin: object | undefined;
  readonly arrivedAt = performance.now();
  readonly answer: Promise<EngineResult>;
  /** The cost of a run that holds it alone, or its largest part, ms. */
  readonly costMs: number;
  /** How long it was predicted to take when it was admitted, ms. */
  predictedMs = 0;
  #scored = 0;
  #result: EngineResult;
  /** Undefined once the request is settled. */
  #settle: { resolve(result: EngineResult): void; reject(error: unknown): void } | undefined;

  constructor(
    probe: ServedProbe,
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
    this.tokens = Math.max(1, usedTokens(body));
    this.parts = this.#cut(body);
    this.costMs = probe.plan.predict(Math.ceil(this.samples / this.parts.length) * this.tokens);
    this.#result = { scores: new Float32Array(this.samples), queueMs: 0, inferenceMs: 0, batchSamples: 0 };
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  get isSettled(): boolean {
    return this.#settle === undefined;
  }

  /** Adds the scores of a part; the last one settles the request. @param ms of the batch's run. */
  accept(part: Part, scores: readonly number[], batch: Batch, ms: number): void {
    const { scores: all, queueMs, inferenceMs, batchSamples } = this.#result;
    all.set(scores, part.slice.first);
    this.#scored += part.samples;
    this.#result = {
      scores: all,
      queueMs: Math.max(queueMs, batch.from - this.arrivedAt),
      inferenceMs: Math.max(inferenceMs, ms),
      batchSamples: Math.max(batchSamples, batch.samples),
    };
    if (this.#scored < this.samples) return;
    this.#settle?.resolve(this.#result);
    this.#settle = undefined;
  }

  /** Settles with an error. Does nothing when the request is settled already. */
  fail(error: unknown): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
  }

  #cut(body: DecodedBody): Part[] {
    const { samples, tokens } = this;
    const count = this.probe.plan.partsOf(samples, tokens);
    const firstOf = (part: number): number => Math.floor((part * samples) / count);
    return Array.from({ length: count }, (_, part) => {
      const slice = sliceOf(body, firstOf(part), firstOf(part + 1) - firstOf(part));
      const bytes = part === count - 1 ? this.bytes : 0;
      return { request: this, samples: slice.samples, tokens: slice.samples * tokens, bytes, slice };
    });
  }
}
