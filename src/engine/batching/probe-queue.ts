/**
 * The parts of requests that wait for one probe. Tenants take turns: the next part is of the tenant that has been served the
 * fewest tokens, and a tenant's own parts stay in order of arrival. This is start-time fair queuing (Goyal, Vin, Cheng:
 * https://doi.org/10.1145/248157.248171). See docs/adr/0023-tenants-take-turns.md.
 */
import type { ServedProbe } from '../types.js';
import { PartCounts } from './part-counts.js';
import type { Batch, Part, ScoreRequest } from './score-request.js';

/** The parts of one tenant; never empty. */
interface Line {
  readonly parts: Part[];
  /** The tokens that the tenant was served, counted from the queue's own turn when it joined. */
  turn: number;
}

export class ProbeQueue {
  readonly probe: ServedProbe;
  /** When this probe is next among the probes: the time that it was served, ms. */
  turn: number;
  readonly #lines = new Map<string, Line>();
  /** The turn of the tenant that was served last. A tenant that joins begins there, so it saves up no turns while absent. */
  #turn = 0;
  readonly #held = new PartCounts();

  constructor(probe: ServedProbe, turn: number) {
    this.probe = probe;
    this.turn = turn;
  }

  get isEmpty(): boolean {
    return this.#held.all.samples === 0;
  }

  /** Whether no further sample like the next one would fit into the next batch. */
  get isFull(): boolean {
    const tokens = this.#next()?.parts[0]?.request.tokens ?? 1;
    return this.#held.all.samples >= this.probe.plan.samplesThatFit(tokens);
  }

  /** When the request arrived that has waited longest, on the clock of performance.now(), ms. */
  get oldestArrival(): number {
    let oldest = Infinity;
    for (const line of this.#lines.values()) oldest = Math.min(oldest, arrivalOf(line));
    return oldest;
  }

  /** How long one worker would have to run for everything that waits, by the cost model of the probe, ms. */
  get workMs(): number {
    return this.probe.plan.predict(this.#held.all.tokens, Math.ceil(this.#batches));
  }

  get nextRunMs(): number {
    return this.probe.plan.predict(this.#held.all.tokens / Math.max(1, this.#batches));
  }

  /**
   * The part of workMs that comes before a new request of a tenant that takes `ms` by itself: the tenant's own requests,
   * and of each other tenant at most as much. It is never less than the next run, which the new request may have to share.
   */
  workAheadMs(tenant: string, ms: number): number {
    const msPerToken = this.workMs / this.#held.all.tokens;
    const ownMs = this.#held.of(tenant).tokens * msPerToken;
    let aheadMs = 0;
    for (const { tokens } of this.#held.byTenant.values())
      aheadMs += Math.min(tokens * msPerToken, ownMs + ms);
    return Math.max(aheadMs, this.nextRunMs - ms);
  }

  add({ tenant, parts }: ScoreRequest): void {
    const line = this.#lines.get(tenant) ?? { parts: [], turn: this.#turn };
    this.#lines.set(tenant, line);
    line.parts.push(...parts);
    for (const part of parts) this.#held.count(part, 1);
  }

  /** Takes the next batch: parts in turn as long as they fit the probe's plan, and at least one. */
  take(): Batch {
    const { probe } = this;
    const parts: Part[] = [];
    let [samples, tokens] = [0, 0];
    for (let line = this.#next(); line; line = this.#next()) {
      const [part] = line.parts;
      if (!part) break;
      const longest = Math.max(tokens, part.request.tokens);
      if (parts.length > 0 && samples + part.samples > probe.plan.samplesThatFit(longest)) break;
      this.#turn = line.turn;
      line.turn += part.tokens;
      this.#remove(line, part);
      parts.push(part);
      samples += part.samples;
      tokens = longest;
    }
    const paddedTokens = samples * tokens;
    const predictedMs = probe.plan.predict(paddedTokens);
    return { probe, parts, samples, paddedTokens, from: performance.now(), predictedMs };
  }

  /** Removes and returns the parts of a request that are here. */
  remove(request: ScoreRequest): Part[] {
    const line = this.#lines.get(request.tenant);
    if (!line) return [];
    const parts = line.parts.filter((part) => part.request === request);
    for (const part of parts) this.#remove(line, part);
    return parts;
  }

  requests(): ScoreRequest[] {
    const requests = new Set<ScoreRequest>();
    for (const { parts } of this.#lines.values()) for (const { request } of parts) requests.add(request);
    return [...requests];
  }

  latestOf(tenant: string): ScoreRequest | undefined {
    return this.#lines.get(tenant)?.parts.at(-1)?.request;
  }

  /** How many full batches wait. */
  get #batches(): number {
    const { samples, tokens } = this.#held.all;
    return this.probe.plan.batchesOf(samples, tokens);
  }

  #next(): Line | undefined {
    return nextInTurn(this.#lines.values(), arrivalOf);
  }

  #remove(line: Line, part: Part): void {
    line.parts.splice(line.parts.indexOf(part), 1);
    this.#held.count(part, -1);
    if (line.parts.length === 0) this.#lines.delete(part.request.tenant);
  }
}

function arrivalOf({ parts: [first] }: Line): number {
  return first?.request.arrivedAt ?? Infinity;
}

/** The one whose turn is first; of several, the one that has waited longest. */
export function nextInTurn<Waiting extends { readonly turn: number }>(
  all: Iterable<Waiting>,
  arrival: (one: Waiting) => number,
): Waiting | undefined {
  let next: Waiting | undefined;
  for (const one of all) if (!next || (one.turn - next.turn || arrival(one) - arrival(next)) < 0) next = one;
  return next;
}
