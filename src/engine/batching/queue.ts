/** Holds requests until a batch takes them: per probe in order of arrival, with common limits on samples and bytes. */
import { problem } from '../../errors.js';
import type { LoadedProbe } from '../repository/registry.js';
import type { QueueDepth } from '../types.js';
import { samplesThatFit, samplesThatFitWhole } from '../warm-up/batch-plan.js';
import type { RequestSlice, ScoreRequest } from './score-request.js';

export interface QueueLimits {
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

/** What one run of a worker scores: slices of requests for the same probe. */
export interface Batch {
  readonly probe: LoadedProbe;
  readonly samples: number;
  /** Its samples times the tokens of its longest. */
  readonly paddedTokens: number;
  readonly slices: readonly RequestSlice[];
}

export class RequestQueue {
  readonly #limits: QueueLimits;
  /** The requests of each probe in order of arrival, by the probe's key. No list is empty. */
  readonly #byProbe = new Map<number, ScoreRequest[]>();
  #samples = 0;
  #bytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  depth(): QueueDepth {
    return { samples: this.#samples, bytes: this.#bytes };
  }

  /**
   * Puts a request behind the others for its probe. An empty queue accepts even a request beyond the limits.
   * @throws {ProblemError} overloaded
   */
  add(request: ScoreRequest): void {
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    const isFull =
      this.#samples + request.samples > maxQueueSamples || this.#bytes + request.bytes > maxQueueBytes;
    if (isFull && this.#samples > 0)
      throw problem('overloaded', `The queue is full: ${this.#samples} samples are waiting.`);
    const requests = this.#byProbe.get(request.probe.key);
    if (requests) requests.push(request);
    else this.#byProbe.set(request.probe.key, [request]);
    this.#samples += request.samples;
    this.#bytes += request.bytes;
  }

  /**
   * Takes the next batch: from the probe whose first request has waited longest, whole requests as long as they fit the
   * probe's plan. Only a request that is larger than a batch by itself is cut.
   * @param isLastIdle no other worker is idle to score the rest of a cut request at once, so a request that is a little
   * larger than a batch stays whole.
   */
  take(isLastIdle = false): Batch | undefined {
    const requests = this.next();
    const [head] = requests;
    if (!head) return undefined;
    const { plan } = head.probe;
    const slices: RequestSlice[] = [];
    let samples = 0;
    let tokens = 0;
    for (let next = requests[0]; next; next = requests[0]) {
      const longest = Math.max(tokens, next.tokens);
      const staysWhole =
        isLastIdle && slices.length === 0 && next.samples <= samplesThatFitWhole(plan, longest);
      const room = staysWhole ? next.waitingSamples : samplesThatFit(plan, longest) - samples;
      if (room <= 0 || (next.waitingSamples > room && slices.length > 0)) break;
      const taken = next.take(room);
      this.#samples -= taken.slice.samples;
      if (next.waitingSamples === 0) this.remove(next);
      slices.push(taken);
      samples += taken.slice.samples;
      tokens = longest;
    }
    return { probe: head.probe, samples, paddedTokens: samples * tokens, slices };
  }

  /** The requests that take() would take from, in order of arrival. */
  next(): readonly ScoreRequest[] {
    let longest: readonly ScoreRequest[] = [];
    for (const requests of this.#byProbe.values()) {
      if (arrival(requests) < arrival(longest)) longest = requests;
    }
    return longest;
  }

  /** How long one worker would have to run for everything that waits, by the cost models of the probes, ms. */
  workMs(): number {
    let workMs = 0;
    for (const requests of this.#byProbe.values()) {
      const [head] = requests;
      if (!head) continue;
      const { plan } = head.probe;
      const { samples, tokens } = waitingIn(requests);
      const runs = Math.ceil(Math.max(tokens / plan.maxTokens, samples / plan.maxSamples));
      workMs += plan.cost.predict(tokens, runs);
    }
    return workMs;
  }

  /** Removes a request. Does nothing when it has left the queue already. */
  remove(request: ScoreRequest): void {
    const requests = this.#byProbe.get(request.probe.key);
    const index = requests?.indexOf(request) ?? -1;
    if (!requests || index === -1) return;
    requests.splice(index, 1);
    this.#samples -= request.waitingSamples;
    this.#bytes -= request.bytes;
    if (requests.length === 0) this.#byProbe.delete(request.probe.key);
  }

  /** Removes and returns all requests. */
  clear(): ScoreRequest[] {
    const all = [...this.#byProbe.values()].flat();
    for (const request of all) this.remove(request);
    return all;
  }
}

/** The samples of these requests that no batch has taken, and the sum of their tokens. */
export function waitingIn(requests: readonly ScoreRequest[]): { samples: number; tokens: number } {
  let samples = 0;
  let tokens = 0;
  for (const request of requests) {
    samples += request.waitingSamples;
    tokens += request.waitingSamples * request.tokens;
  }
  return { samples, tokens };
}

function arrival(requests: readonly ScoreRequest[]): number {
  return requests[0]?.arrivedAt ?? Infinity;
}
