/** Owns what waits: one queue per probe, first come first served, bounded over all of them in samples and bytes. */
import { problem } from '../../errors.js';
import { samplesThatFit, samplesThatFitWhole } from '../warm-up/batch-plan.js';
import type { LoadedProbe } from '../repository/registry.js';
import type { ScoreRequest, RequestSlice } from './score-request.js';
import type { QueueDepth } from '../types.js';

const RETRY_AFTER_SECONDS = 1;

export interface QueueLimits {
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

/** What one run is made of: parts for the same probe. */
export interface Batch {
  readonly probe: LoadedProbe;
  readonly samples: number;
  /** Its samples times the tokens of its longest. */
  readonly paddedTokens: number;
  readonly slices: readonly RequestSlice[];
}

export class RequestQueue {
  readonly #limits: QueueLimits;
  readonly #queues = new Map<number, ScoreRequest[]>();
  #samples = 0;
  #bytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  depth(): QueueDepth {
    return { samples: this.#samples, bytes: this.#bytes };
  }

  /**
   * Puts a request at the end of its probe's queue. Into an empty requestQueue goes even one that is beyond the bounds.
   * @throws {ProblemError} overloaded
   */
  add(request: ScoreRequest): void {
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    const isFull =
      this.#samples + request.samples > maxQueueSamples || this.#bytes + request.bytes > maxQueueBytes;
    if (isFull && this.#samples > 0) {
      throw problem('overloaded', `The queue is full: ${this.#samples} samples are waiting.`, {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    const queue = this.#queues.get(request.probe.key);
    if (queue) queue.push(request);
    else this.#queues.set(request.probe.key, [request]);
    this.#samples += request.samples;
    this.#bytes += request.bytes;
  }

  /**
   * Takes what the next run should hold: from the queue whose first request has waited longest, whole requests
   * as long as they fit its probe's plan. Only a request that is larger than a batch by itself is cut.
   * @param isLastIdle no other thread would take the rest of such a request at once: a little larger, it stays whole.
   */
  take(isLastIdle = false): Batch | undefined {
    const queue = this.#longestWaiting();
    const [head] = queue ?? [];
    if (!queue || !head) return undefined;
    const { plan } = head.probe;
    const slices: RequestSlice[] = [];
    let samples = 0;
    let tokens = 0;
    for (let next = queue[0]; next; next = queue[0]) {
      const longest = Math.max(tokens, next.tokens);
      const staysWhole =
        isLastIdle && slices.length === 0 && next.samples <= samplesThatFitWhole(plan, longest);
      const room = staysWhole ? next.waiting : samplesThatFit(plan, longest) - samples;
      if (room <= 0 || (next.waiting > room && slices.length > 0)) break;
      const taken = this.#takeFrom(next, room);
      if (next.waiting === 0) this.#drop(queue);
      slices.push(taken);
      samples += taken.slice.samples;
      tokens = longest;
    }
    return { probe: head.probe, samples, paddedTokens: samples * tokens, slices };
  }

  /** The queue that take() would take from. */
  next(): readonly ScoreRequest[] {
    return this.#longestWaiting() ?? [];
  }

  /** How long one thread would have to run for all that waits, by the cost lines of the probes, ms. */
  workMs(): number {
    let work = 0;
    for (const queue of this.#queues.values()) {
      const [head] = queue;
      if (!head) continue;
      const { plan } = head.probe;
      const tokens = queue.reduce((sum, request) => sum + request.waiting * request.tokens, 0);
      const samples = queue.reduce((sum, request) => sum + request.waiting, 0);
      const runs = Math.ceil(Math.max(tokens / plan.maxTokens, samples / plan.maxSamples));
      work += plan.cost.predict(tokens, runs);
    }
    return work;
  }

  /** Takes a request out of its queue, wherever it stands; nothing happens if it has left already. */
  remove(request: ScoreRequest): void {
    const queue = this.#queues.get(request.probe.key);
    const index = queue?.indexOf(request) ?? -1;
    if (!queue || index === -1) return;
    queue.splice(index, 1);
    this.#samples -= request.waiting;
    this.#bytes -= request.bytes;
    if (queue.length === 0) this.#queues.delete(request.probe.key);
  }

  /** Takes out everything. */
  clear(): ScoreRequest[] {
    const waiting = [...this.#queues.values()].flat();
    for (const request of waiting) this.remove(request);
    return waiting;
  }

  #longestWaiting(): ScoreRequest[] | undefined {
    let longest: ScoreRequest[] | undefined;
    for (const queue of this.#queues.values()) {
      if (!longest || arrival(queue) < arrival(longest)) longest = queue;
    }
    return longest;
  }

  #takeFrom(request: ScoreRequest, room: number): RequestSlice {
    const taken = request.take(room);
    this.#samples -= taken.slice.samples;
    return taken;
  }

  #drop(queue: ScoreRequest[]): void {
    const gone = queue.shift();
    if (!gone) return;
    this.#bytes -= gone.bytes;
    if (queue.length === 0) this.#queues.delete(gone.probe.key);
  }
}

function arrival(queue: readonly ScoreRequest[]): number {
  return queue[0]?.arrivedAt ?? Infinity;
}
