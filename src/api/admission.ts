/**
 * Owns what is let in before it is read: that a request cannot be in time is known when its headers have come; that the
 * queue is full, from the announced bytes and from the samples that the body's header tells. That spares both sides the
 * transfer.
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
  #comingBytes = 0;
  #coming = 0;

  constructor(engine: WatchedEngine, limits: AdmissionLimits) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /**
   * Keeps room for a body that is about to come; memory for it is held from now on, as for one that waits.
   * @returns to be called when it has come, or will not.
   * @throws {ProblemError} overloaded
   */
  reserve(bytes: number): () => void {
    const { samples, bytes: waitingBytes } = this.#engine.queueDepth();
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    const heldBytes = waitingBytes + this.#comingBytes;
    const isFull = samples >= maxQueueSamples || heldBytes + bytes > maxQueueBytes;
    if (isFull && samples + heldBytes > 0) throw full(samples, heldBytes);
    this.#comingBytes += bytes;
    this.#coming += 1;
    return () => {
      this.#comingBytes -= bytes;
      this.#coming -= 1;
    };
  }

  /**
   * Turns away a request that may well be late. The engine looks again when it knows what is in it.
   * @param leftMs until its deadline. @throws {ProblemError} deadline
   */
  refuseLate(leftMs: number): void {
    const needMs = this.#engine.predictedLatencyMs(this.#coming);
    if (needMs <= leftMs) return;
    throw problem('deadline', `With the work that is ahead, the scores may take ${Math.ceil(needMs)} ms.`);
  }

  /** Whether a request of so many samples would be turned away for them. */
  isFullFor(samples: number): boolean {
    const waiting = this.#engine.queueDepth().samples;
    return waiting > 0 && waiting + samples > this.#limits.maxQueueSamples;
  }

  /** @throws {ProblemError} overloaded */
  refuseSamples(samples: number): void {
    if (!this.isFullFor(samples)) return;
    const { samples: waiting, bytes } = this.#engine.queueDepth();
    throw full(waiting, bytes + this.#comingBytes);
  }
}

function full(samples: number, bytes: number): ProblemError {
  return problem('overloaded', `${samples} samples are waiting already, and ${bytes} bytes are held.`);
}
