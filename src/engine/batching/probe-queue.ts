/**
 * The requests that wait for one probe. Tenants take turns: the next request is of the tenant that has been served the
 * fewest tokens, and a tenant's own requests stay in order of arrival. This is start-time fair queuing (Goyal, Vin, Cheng:
 * https://doi.org/10.1145/248157.248171). See docs/adr/0023-tenants-take-turns.md.
 */
import type { LoadedProbe } from '../repository/registry.js';
import type { ScoreRequest } from './score-request.js';

/** The waiting requests of one tenant, in order of arrival; never empty. */
interface Line {
  readonly requests: ScoreRequest[];
  /** Tokens that no batch has taken. */
  tokens: number;
  /** The tokens that the tenant was served, counted from the queue's own turn when it joined. */
  turn: number;
}

export class ProbeQueue {
  readonly probe: LoadedProbe;
  /** When this probe is next among the probes: the time that it was served, ms. */
  turn: number;
  readonly #lines = new Map<string, Line>();
  /** The turn of the tenant that was served last. A tenant that joins begins there, so it saves up no turns while absent. */
  #turn = 0;
  #samples = 0;
  #tokens = 0;

  constructor(probe: LoadedProbe, turn: number) {
    this.probe = probe;
    this.turn = turn;
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0;
  }

  /** What no batch has taken: the samples, and the sum of their tokens. */
  get waiting(): { samples: number; tokens: number } {
    return { samples: this.#samples, tokens: this.#tokens };
  }

  /** When the request arrived that has waited longest, on the clock of performance.now(), ms. */
  get oldestArrival(): number {
    let oldest = Infinity;
    for (const { requests } of this.#lines.values()) oldest = Math.min(oldest, arrivalOf(requests));
    return oldest;
  }

  add(request: ScoreRequest): void {
    let line = this.#lines.get(request.tenant);
    if (!line) {
      line = { requests: [], tokens: 0, turn: this.#turn };
      this.#lines.set(request.tenant, line);
    }
    line.requests.push(request);
    this.#count(line, request, request.waitingSamples);
  }

  /** The request whose turn it is. */
  head(): ScoreRequest | undefined {
    return this.#nextLine()?.requests[0];
  }

  /** Counts samples of the request whose turn it was, which a batch has taken. */
  countTaken(request: ScoreRequest, samples: number): void {
    const line = this.#lines.get(request.tenant);
    if (!line) return;
    this.#count(line, request, -samples);
    this.#turn = line.turn;
    line.turn += samples * request.tokens;
  }

  /** Removes a request; false when it is not here. */
  remove(request: ScoreRequest): boolean {
    const line = this.#lines.get(request.tenant);
    const index = line?.requests.indexOf(request) ?? -1;
    if (!line || index === -1) return false;
    line.requests.splice(index, 1);
    this.#count(line, request, -request.waitingSamples);
    if (line.requests.length === 0) this.#lines.delete(request.tenant);
    return true;
  }

  /** All requests. */
  requests(): ScoreRequest[] {
    return [...this.#lines.values()].flatMap(({ requests }) => requests);
  }

  /** The requests of a tenant, in order of arrival. */
  requestsOf(tenant: string): readonly ScoreRequest[] {
    return this.#lines.get(tenant)?.requests ?? [];
  }

  /** How long one worker would have to run for all requests, by the cost model of the probe, ms. */
  workMs(): number {
    if (this.isEmpty) return 0;
    const { cost, maxTokens, maxSamples } = this.probe.plan;
    const runs = Math.ceil(Math.max(this.#tokens / maxTokens, this.#samples / maxSamples));
    return cost.predict(this.#tokens, runs);
  }

  /**
   * The part of workMs() that comes before a new request of a tenant that takes `ms` by itself: the tenant's own requests,
   * and of each other tenant at most as much. It is never less than the next run, which the new request may have to share.
   */
  workAheadMs(tenant: string, ms: number): number {
    if (this.isEmpty) return 0;
    const { cost, maxTokens, maxSamples } = this.probe.plan;
    const nextTokens = Math.min(1, maxTokens / this.#tokens, maxSamples / this.#samples) * this.#tokens;
    const msPerToken = this.workMs() / this.#tokens;
    const ownMs = (this.#lines.get(tenant)?.tokens ?? 0) * msPerToken;
    let aheadMs = ownMs;
    for (const [other, { tokens }] of this.#lines)
      if (other !== tenant) aheadMs += Math.min(tokens * msPerToken, ownMs + ms);
    return Math.max(aheadMs, cost.predict(nextTokens) - ms);
  }

  #count(line: Line, request: ScoreRequest, samples: number): void {
    line.tokens += samples * request.tokens;
    this.#tokens += samples * request.tokens;
    this.#samples += samples;
  }

  #nextLine(): Line | undefined {
    let next: Line | undefined;
    for (const line of this.#lines.values())
      if (!next || line.turn < next.turn || (line.turn === next.turn && isOlder(line, next))) next = line;
    return next;
  }
}

function isOlder(line: Line, other: Line): boolean {
  return arrivalOf(line.requests) < arrivalOf(other.requests);
}

function arrivalOf([first]: readonly ScoreRequest[]): number {
  return first?.arrivedAt ?? Infinity;
}
