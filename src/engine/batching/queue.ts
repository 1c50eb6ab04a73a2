/**
 * Holds requests until a batch takes them, with common limits on samples and bytes. Probes take turns, and within a probe
 * its tenants. See docs/adr/0023-tenants-take-turns.md.
 */
import { problem, type ProblemError } from '../../errors.js';
import type { LoadedProbe } from '../repository/registry.js';
import type { QueueDepth, QueueRefusal } from '../types.js';
import { samplesThatFit, samplesThatFitWhole } from '../warm-up/batch-plan.js';
import { ProbeQueue } from './probe-queue.js';
import type { RequestSlice, ScoreRequest } from './score-request.js';

export interface QueueLimits {
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
  /** The most of both limits that one tenant may hold while others wait, 0 to 1; 1 when omitted. */
  readonly tenantQueueShare?: number;
}

/** What one run of a worker scores: slices of requests for the same probe. */
export interface Batch {
  readonly probe: LoadedProbe;
  readonly samples: number;
  /** Its samples times the tokens of its longest. */
  readonly paddedTokens: number;
  readonly slices: readonly RequestSlice[];
}

const NOTHING: QueueDepth = { samples: 0, bytes: 0 };

export class RequestQueue {
  readonly #limits: Required<QueueLimits>;
  /** By the probe's key. None is empty. */
  readonly #byProbe = new Map<number, ProbeQueue>();
  /** What each tenant holds, over all probes. */
  readonly #byTenant = new Map<string, QueueDepth>();
  #depth = NOTHING;
  /** The turn of the probe that was served last; see ProbeQueue. */
  #turn = 0;

  constructor(limits: QueueLimits) {
    this.#limits = { tenantQueueShare: 1, ...limits };
  }

  /** What waits in all. */
  depth(): QueueDepth {
    return this.#depth;
  }

  /**
   * Why a request would not be accepted. An empty queue accepts even a request beyond the limits. A full queue accepts one
   * whose tenant would still hold less than another one, which loses its latest requests.
   */
  refusal(tenant: string, samples: number, bytes: number): QueueRefusal | undefined {
    if (this.#depth.samples === 0) return undefined;
    const own = this.#byTenant.get(tenant) ?? NOTHING;
    const othersWait = this.#depth.samples > own.samples;
    const wanted = this.#shareOf(own, samples, bytes);
    if (othersWait && own.samples > 0 && wanted > this.#limits.tenantQueueShare) return 'tenant_limit';
    const excess = this.#shareOf(this.#depth, samples, bytes) - 1;
    const largest = this.#shareOf(this.#byTenant.get(this.#largestTenant()) ?? NOTHING);
    if (excess <= 0 || largest >= wanted + excess) return undefined;
    return othersWait && this.#shareOf(own) === largest ? 'tenant_limit' : 'overloaded';
  }

  /**
   * Puts a request behind the others of its tenant and probe.
   * @returns the requests of other tenants that it displaced.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  add(request: ScoreRequest): ScoreRequest[] {
    const { probe, tenant, samples, bytes } = request;
    const refusal = this.refusal(tenant, samples, bytes);
    if (refusal !== undefined) throw queueProblem(refusal, this.#depth);
    const displaced = this.#makeRoom(samples, bytes);
    let queue = this.#byProbe.get(probe.key);
    if (!queue) {
      queue = new ProbeQueue(probe, this.#turn);
      this.#byProbe.set(probe.key, queue);
    }
    queue.add(request);
    this.#count(tenant, samples, bytes);
    return displaced;
  }

  /**
   * Takes the next batch, of the probe whose turn it is: whole requests as long as they fit the probe's plan. Only a request
   * that is larger than a batch by itself is cut.
   * @param isLastIdle no other worker is idle to score the rest of a cut request at once, so a request that is a little
   * larger than a batch stays whole.
   */
  take(isLastIdle = false): Batch | undefined {
    const queue = this.#next();
    if (!queue) return undefined;
    const { probe } = queue;
    const slices: RequestSlice[] = [];
    let samples = 0;
    let tokens = 0;
    for (let next = queue.head(); next; next = queue.head()) {
      const longest = Math.max(tokens, next.tokens);
      const staysWhole =
        isLastIdle && slices.length === 0 && next.samples <= samplesThatFitWhole(probe.plan, longest);
      const room = staysWhole ? next.waitingSamples : samplesThatFit(probe.plan, longest) - samples;
      if (room <= 0 || (next.waitingSamples > room && slices.length > 0)) break;
      const taken = next.take(room);
      queue.countTaken(next, taken.slice.samples);
      this.#count(next.tenant, -taken.slice.samples, 0);
      if (next.waitingSamples === 0) this.remove(next);
      slices.push(taken);
      samples += taken.slice.samples;
      tokens = longest;
    }
    this.#turn = queue.turn;
    queue.turn += probe.plan.cost.predict(samples * tokens);
    return { probe, samples, paddedTokens: samples * tokens, slices };
  }

  /** The queue that take() would take from. */
  next(): Pick<ProbeQueue, 'probe' | 'waiting' | 'oldestArrival' | 'head' | 'requests'> | undefined {
    return this.#next();
  }

  /** How long one worker would have to run for everything that waits, ms. */
  workMs(): number {
    let workMs = 0;
    for (const queue of this.#byProbe.values()) workMs += queue.workMs();
    return workMs;
  }

  /**
   * The part of workMs() that comes before a new request which takes `ms` by itself: see ProbeQueue, and of each other probe
   * at most as much.
   * @param key of its probe; when undefined, the probe with the most work ahead counts.
   */
  workAheadMs(tenant: string, ms: number, key: number | undefined): number {
    let aheadMs = 0;
    let ownProbe = key === undefined ? undefined : this.#byProbe.get(key);
    for (const queue of key === undefined ? this.#byProbe.values() : []) {
      const queueMs = queue.workAheadMs(tenant, ms);
      if (queueMs >= aheadMs) [aheadMs, ownProbe] = [queueMs, queue];
    }
    aheadMs = ownProbe?.workAheadMs(tenant, ms) ?? 0;
    let othersMs = 0;
    for (const queue of this.#byProbe.values())
      if (queue !== ownProbe) othersMs += Math.min(queue.workMs(), aheadMs + ms);
    return aheadMs + othersMs;
  }

  /** Whether a tenant has fewer samples here than the tenants that wait have on average. */
  isBelowShare(tenant: string): boolean {
    const { samples } = this.#byTenant.get(tenant) ?? NOTHING;
    return samples * this.#byTenant.size < this.#depth.samples;
  }

  /** Removes a request. Does nothing when it has left the queue already. */
  remove(request: ScoreRequest): void {
    const queue = this.#byProbe.get(request.probe.key);
    if (!queue?.remove(request)) return;
    this.#count(request.tenant, -request.waitingSamples, -request.bytes);
    if (queue.isEmpty) this.#byProbe.delete(request.probe.key);
  }

  /** Removes and returns all requests. */
  clear(): ScoreRequest[] {
    const all = [...this.#byProbe.values()].flatMap((queue) => queue.requests());
    for (const request of all) this.remove(request);
    return all;
  }

  #next(): ProbeQueue | undefined {
    let next: ProbeQueue | undefined;
    for (const queue of this.#byProbe.values()) {
      const isEarlier = queue.turn === next?.turn && queue.oldestArrival < next.oldestArrival;
      if (!next || queue.turn < next.turn || isEarlier) next = queue;
    }
    return next;
  }

  /** Removes the latest requests of the tenants that hold the most until a request fits. */
  #makeRoom(samples: number, bytes: number): ScoreRequest[] {
    const displaced: ScoreRequest[] = [];
    while (this.#depth.samples > 0 && this.#shareOf(this.#depth, samples, bytes) > 1) {
      const latest = this.#latestOf(this.#largestTenant());
      if (!latest) break;
      this.remove(latest);
      displaced.push(latest);
    }
    return displaced;
  }

  #latestOf(tenant: string): ScoreRequest | undefined {
    let latest: ScoreRequest | undefined;
    for (const queue of this.#byProbe.values()) {
      const last = queue.requestsOf(tenant).at(-1);
      if (last && last.arrivedAt >= (latest?.arrivedAt ?? 0)) latest = last;
    }
    return latest;
  }

  /** The tenant that holds the largest share. */
  #largestTenant(): string {
    let largest = '';
    let share = 0;
    for (const [tenant, held] of this.#byTenant) {
      if (this.#shareOf(held) <= share) continue;
      largest = tenant;
      share = this.#shareOf(held);
    }
    return largest;
  }

  /** The share of the limit on samples or of that on bytes, whichever is larger, of what is held and of some more. */
  #shareOf(held: QueueDepth, samples = 0, bytes = 0): number {
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    return Math.max((held.samples + samples) / maxQueueSamples, (held.bytes + bytes) / maxQueueBytes);
  }

  #count(tenant: string, samples: number, bytes: number): void {
    const sum = (held: QueueDepth): QueueDepth => ({
      samples: held.samples + samples,
      bytes: held.bytes + bytes,
    });
    this.#depth = sum(this.#depth);
    const held = sum(this.#byTenant.get(tenant) ?? NOTHING);
    if (held.bytes === 0) this.#byTenant.delete(tenant);
    else this.#byTenant.set(tenant, held);
  }
}

/** The error of a request that the queue does not accept, or no longer holds. */
export function queueProblem(refusal: QueueRefusal, { samples }: QueueDepth): ProblemError {
  if (refusal === 'overloaded')
    return problem('overloaded', `The queue is full: ${samples} samples are waiting.`);
  return problem('tenant_limit', `Others are waiting too, and this caller’s share of the queue is used up.`);
}
