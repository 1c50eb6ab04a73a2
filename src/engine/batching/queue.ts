/**
 * Holds requests until batches take them, with common limits on samples and bytes. Probes take turns, and within a probe its
 * tenants. See docs/adr/0023-tenants-take-turns.md.
 */
import { problem, type ProblemError } from '../../errors.js';
import type { EngineOptions, QueueDepth, QueueRefusal, ServedProbe } from '../types.js';
import { PartCounts } from './part-counts.js';
import { nextInTurn, ProbeQueue } from './probe-queue.js';
import type { Batch, Part, ScoreRequest } from './score-request.js';

type QueueLimits = Pick<EngineOptions, 'maxQueueSamples' | 'maxQueueBytes' | 'tenantQueueShare'>;

export class RequestQueue {
  readonly #limits: QueueLimits;
  /** None is empty. */
  readonly #byProbe = new Map<ServedProbe, ProbeQueue>();
  /** Over all probes. */
  readonly #held = new PartCounts();
  /** The turn of the probe that was served last; see ProbeQueue. */
  #turn = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** What waits in all. */
  depth(): QueueDepth {
    const { samples, bytes } = this.#held.all;
    return { samples, bytes };
  }

  /**
   * Why a request would not be accepted. An empty queue accepts even a request beyond the limits. A full queue accepts one
   * whose tenant would still hold less than another one, which loses its latest requests.
   */
  refusal(tenant: string, samples: number, bytes: number): QueueRefusal | undefined {
    const { all } = this.#held;
    const own = this.#held.of(tenant);
    const wanted = this.#shareOf(own, samples, bytes);
    const othersWait = all.samples > own.samples;
    const { tenantQueueShare = 1 } = this.#limits;
    if (othersWait && own.samples > 0 && wanted > tenantQueueShare) return 'tenant_limit';
    const excess = this.#shareOf(all, samples, bytes) - 1;
    if (excess <= 0 || all.samples === 0) return undefined;
    const { share: largest } = this.#largestTenant();
    if (largest >= wanted + excess) return undefined;
    return othersWait && this.#shareOf(own) === largest ? 'tenant_limit' : 'overloaded';
  }

  /**
   * Puts a request behind the others of its tenant and probe.
   * @returns the requests of other tenants that it displaced.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  add(request: ScoreRequest): ScoreRequest[] {
    const { probe, tenant, samples, bytes, parts } = request;
    const refusal = this.refusal(tenant, samples, bytes);
    if (refusal !== undefined) throw queueProblem(refusal, this.#held.all);
    const displaced = this.#makeRoom(samples, bytes);
    const queue = this.#byProbe.get(probe) ?? new ProbeQueue(probe, this.#turn);
    this.#byProbe.set(probe, queue);
    queue.add(request);
    for (const part of parts) this.#held.count(part, 1);
    return displaced;
  }

  /** Takes the next batch, of the probe whose turn it is. */
  take(): Batch | undefined {
    const queue = this.next();
    if (!queue) return undefined;
    const batch = queue.take();
    this.#turn = queue.turn;
    queue.turn += batch.predictedMs;
    this.#onRemoved(queue, batch.parts);
    return batch;
  }

  /** The queue that take() would take from. */
  next(): ProbeQueue | undefined {
    return nextInTurn(this.#byProbe.values(), ({ oldestArrival }) => oldestArrival);
  }

  /**
   * How long one worker would have to run before a new request which takes `ms` by itself: see ProbeQueue, and of each other
   * probe at most as much.
   * @param probe when undefined, the one with the most work ahead counts.
   */
  workAheadMs(tenant: string, ms: number, probe: ServedProbe | undefined): number {
    let own: ProbeQueue | undefined;
    let ownMs = 0;
    for (const queue of this.#byProbe.values()) {
      const queueMs = probe === undefined || queue.probe === probe ? queue.workAheadMs(tenant, ms) : 0;
      if (queueMs > ownMs) [own, ownMs] = [queue, queueMs];
    }
    let aheadMs = ownMs;
    for (const queue of this.#byProbe.values())
      if (queue !== own) aheadMs += Math.min(queue.workMs, ownMs + ms);
    return aheadMs;
  }

  /** Whether a tenant has fewer samples here than the tenants that wait have on average. */
  isBelowShare(tenant: string): boolean {
    return this.#held.of(tenant).samples * this.#held.byTenant.size < this.#held.all.samples;
  }

  /** Removes what waits of a request. */
  remove(request: ScoreRequest): void {
    const queue = this.#byProbe.get(request.probe);
    if (queue) this.#onRemoved(queue, queue.remove(request));
  }

  requests(): ScoreRequest[] {
    return [...this.#byProbe.values()].flatMap((queue) => queue.requests());
  }

  /** Removes the latest requests of the tenants that hold the most until a request fits. */
  #makeRoom(samples: number, bytes: number): ScoreRequest[] {
    const displaced: ScoreRequest[] = [];
    const { all } = this.#held;
    while (all.samples > 0 && this.#shareOf(all, samples, bytes) > 1) {
      const { tenant } = this.#largestTenant();
      const latest = [...this.#byProbe.values()]
        .flatMap((queue) => queue.latestOf(tenant) ?? [])
        .reduce((one, other) => (other.arrivedAt >= one.arrivedAt ? other : one));
      this.remove(latest);
      displaced.push(latest);
    }
    return displaced;
  }

  #largestTenant(): { tenant: string; share: number } {
    let largest = { tenant: '', share: 0 };
    for (const [tenant, held] of this.#held.byTenant) {
      const share = this.#shareOf(held);
      if (share > largest.share) largest = { tenant, share };
    }
    return largest;
  }

  /** The share of the limit on samples or of that on bytes, whichever is larger, of what is held and of some more. */
  #shareOf(held: QueueDepth, samples = 0, bytes = 0): number {
    const { maxQueueSamples, maxQueueBytes } = this.#limits;
    return Math.max((held.samples + samples) / maxQueueSamples, (held.bytes + bytes) / maxQueueBytes);
  }

  #onRemoved(queue: ProbeQueue, parts: readonly Part[]): void {
    for (const part of parts) this.#held.count(part, -1);
    if (queue.isEmpty) this.#byProbe.delete(queue.probe);
  }
}

/** The error of a request that the queue does not accept, or no longer holds. */
export function queueProblem(refusal: QueueRefusal, { samples }: QueueDepth): ProblemError {
  if (refusal === 'overloaded')
    return problem('overloaded', `The queue is full: ${samples} samples are waiting.`);
  return problem('tenant_limit', `Others are waiting too, and this caller’s share of the queue is used up.`);
}
