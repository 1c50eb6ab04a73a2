/**
 * Admission control: refuses a request before its body is read. Its headers are enough to see that it would miss its
 * deadline or that the queue is full, and the header of its body announces the samples. So refused bodies are not transferred.
 */
import type { Engine } from '../engine/types.js';
import { problem, type ProblemError } from '../errors.js';

export interface AdmissionLimits {
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

type WatchedEngine = Pick<Engine, 'queueDepth' | 'predictedLatencyMs'>;

export class Admission {
  readonly #engine: WatchedEngine;
  readonly #limits: AdmissionLimits;
  #arrivingBytes = 0;
  #arrivingRequests = 0;

  constructor(engine: WatchedEngine, limits: AdmissionLimits) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /**
   * Reserves room in the queue for a body that is about to arrive, because its memory is allocated now.
   * @returns the function that ends the reservation, to be called once the body has arrived or has failed.
   * @throws {ProblemError} overloaded
   */
  reserve(bytes: number): () => void {
    const { samples, bytes: waitingBytes } = this.#engine.queueDepth();
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    const heldBytes = waitingBytes + this.#arrivingBytes;
    const isFull = samples >= maxQueueSamples || heldBytes + bytes > maxQueueBytes;
    if (isFull && samples + heldBytes > 0) throw full(samples, heldBytes);
    this.#arrivingBytes += bytes;
    this.#arrivingRequests += 1;
    return () => {
      this.#arrivingBytes -= bytes;
      this.#arrivingRequests -= 1;
    };
  }

  /**
   * Refuses a request that is likely to miss its deadline. The engine predicts again once it knows the samples.
   * @param leftMs time until the deadline.
   * @throws {ProblemError} deadline
   */
  refuseLate(leftMs: number): void {
    const predictedMs = this.#engine.predictedLatencyMs(this.#arrivingRequests);
    if (predictedMs <= leftMs) return;
    throw problem('deadline', `The queue is so long that the scores may take ${Math.ceil(predictedMs)} ms.`);
  }

  /** Whether a request of so many samples would be refused. */
  isFullFor(samples: number): boolean {
    const waiting = this.#engine.queueDepth().samples;
    return waiting > 0 && waiting + samples > this.#limits.maxQueueSamples;
  }

  /** @throws {ProblemError} overloaded */
  refuseSamples(samples: number): void {
    if (!this.isFullFor(samples)) return;
    const { samples: waiting, bytes } = this.#engine.queueDepth();
    throw full(waiting, bytes + this.#arrivingBytes);
  }
}

function full(samples: number, bytes: number): ProblemError {
  return problem('overloaded', `${samples} samples are waiting, and bodies take ${bytes} bytes.`);
}
