/**
 * Admission control: refuses a request before its body has come. Its headers are enough to see that it would miss its
 * deadline or that the queue has no room for its tenant, and the header of its body says its samples. Only what has arrived
 * takes room, whatever was announced, and a body that arrives too slowly is cut off. See docs/adr/0024-admission-counts-what-has-arrived.md.
 */
import type { Engine, QueueRefusal, ServedProbe } from '../engine/types.js';
import { problem, type ProblemError } from '../errors.js';

export interface AdmissionLimits {
  readonly maxQueueBytes: number;
  /** The rate below which a sender is cut off, bytes/s. */
  readonly minBodyBytesPerSecond: number;
}

type WatchedEngine = Pick<Engine, 'queueDepth' | 'queueRefusal' | 'predictedLatencyMs'>;

/** How long a sender may be too slow, ms. */
const SLOW_BODY_MS = 5000;
/** Ticks are counted instead of time, so that no sender counts as slow after a pause of the process. */
const TICKS = 5;
const MS_PER_SECOND = 1000;

/** What is arriving from one tenant. */
interface Sender {
  readonly tenant: string;
  bytes: number;
  /** The sum of the shares of its bodies that have come. */
  requests: number;
  readonly bodies: Set<Body>;
}

/** A body that is being received. */
export interface Arrival {
  readonly length: number;
  readonly received: number;
  /** Counts bytes that have arrived. @throws {ProblemError} overloaded, tenant_limit */
  count(bytes: number): void;
  /** Sets what is called when the body must not be received any further. */
  onCutOff(cutOff: (error: Error) => void): void;
  /** To be called once the body has arrived or has failed. */
  end(): void;
}

export class Admission {
  readonly #engine: WatchedEngine;
  readonly #limits: AdmissionLimits;
  readonly #slowBodyMs: number;
  readonly #senders = new Map<string, Sender>();
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param slowBodyMs how long a sender may be too slow; only tests set it. */
  constructor(engine: WatchedEngine, limits: AdmissionLimits, slowBodyMs = SLOW_BODY_MS) {
    this.#engine = engine;
    this.#limits = limits;
    this.#slowBodyMs = slowBodyMs;
  }

  /**
   * Admits a body that is about to arrive.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  admit(tenant: string, length: number): Arrival {
    this.refuseSamples(tenant, 1);
    let sender = this.#senders.get(tenant);
    if (!sender) {
      sender = { tenant, bytes: 0, requests: 0, bodies: new Set() };
      this.#senders.set(tenant, sender);
    }
    const body = new Body(this, sender, length);
    sender.bodies.add(body);
    this.#timer ??= setInterval(this.#checkRates, this.#slowBodyMs / TICKS).unref();
    return body;
  }

  /**
   * Refuses a request that is likely to miss its deadline. The engine predicts again once it knows the samples.
   * @param probe that the request is likely to be for. @param leftMs time until the deadline.
   * @throws {ProblemError} deadline
   */
  refuseLate(tenant: string, probe: ServedProbe | undefined, leftMs: number): void {
    const receiving = [...this.#senders.values()];
    const predictedMs = this.#engine.predictedLatencyMs({ tenant, receiving, probe });
    if (predictedMs <= leftMs) return;
    throw problem('deadline', `The queue is so long that the scores may take ${Math.ceil(predictedMs)} ms.`);
  }

  /** Whether a request of so many samples would be refused. */
  isFullFor(tenant: string, samples: number): boolean {
    return this.#engine.queueRefusal(tenant, samples, 0) !== undefined;
  }

  /** @throws {ProblemError} overloaded, tenant_limit */
  refuseSamples(tenant: string, samples: number, bytes = 0): void {
    const refusal = this.#engine.queueRefusal(tenant, samples, bytes);
    if (refusal !== undefined) throw this.#refused(refusal);
  }

  /**
   * Counts bytes of a body. When there are too many in all, the tenant that sends the most loses its latest body.
   * @throws {ProblemError} overloaded, tenant_limit
   */
  count(body: Body, bytes: number): void {
    body.received += bytes;
    this.#add(body, bytes);
    const { maxQueueBytes } = this.#limits;
    if (this.#engine.queueDepth().bytes + this.#bytes <= maxQueueBytes) return;
    const { sender } = body;
    let largest = sender;
    for (const other of this.#senders.values()) if (other.bytes > largest.bytes) largest = other;
    if (largest !== sender) return [...largest.bodies].at(-1)?.cutOff(this.#refused('tenant_limit'));
    // A body that arrives alone is received: an empty queue takes a request of any size.
    if (this.#bytes > maxQueueBytes && this.#bytes > body.received)
      throw this.#refused(this.#bytes > sender.bytes ? 'tenant_limit' : 'overloaded');
    this.refuseSamples(sender.tenant, 1, sender.bytes);
  }

  end(body: Body): void {
    const { sender } = body;
    if (!sender.bodies.delete(body)) return;
    this.#add(body, -body.received);
    if (sender.bodies.size === 0) this.#senders.delete(sender.tenant);
  }

  #add({ sender, length }: Body, bytes: number): void {
    this.#bytes += bytes;
    sender.bytes += bytes;
    sender.requests += bytes / Math.max(1, length);
  }

  readonly #checkRates = (): void => {
    if (this.#senders.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    const leastBytes = (this.#limits.minBodyBytesPerSecond * this.#slowBodyMs) / MS_PER_SECOND;
    for (const { bodies } of this.#senders.values()) {
      for (const body of bodies) if (body.isSlow(leastBytes)) body.cutOff(tooSlow(this.#limits));
    }
  };

  #refused(refusal: QueueRefusal): ProblemError {
    const { samples, bytes } = this.#engine.queueDepth();
    const held = `${samples} samples are waiting, and bodies take ${bytes + this.#bytes} bytes`;
    if (refusal === 'overloaded') return problem('overloaded', `${held}.`);
    return problem('tenant_limit', `${held}; this caller’s share of it is used up while others wait.`);
  }
}

class Body implements Arrival {
  readonly sender: Sender;
  readonly length: number;
  received = 0;
  cutOff: (error: Error) => void = () => {};
  readonly #admission: Admission;
  #receivedAtCheck = 0;
  #ticks = 0;

  constructor(admission: Admission, sender: Sender, length: number) {
    this.#admission = admission;
    this.sender = sender;
    this.length = length;
  }

  count(bytes: number): void {
    this.#admission.count(this, bytes);
  }

  onCutOff(cutOff: (error: Error) => void): void {
    this.cutOff = cutOff;
  }

  end(): void {
    this.#admission.end(this);
  }

  /** To be called at each tick. Whether fewer bytes came in the last ticks. */
  isSlow(leastBytes: number): boolean {
    this.#ticks += 1;
    // The first tick may come at once.
    if (this.#ticks <= TICKS) return false;
    const isSlow = this.received - this.#receivedAtCheck < leastBytes;
    this.#receivedAtCheck = this.received;
    this.#ticks = 1;
    return isSlow;
  }
}

function tooSlow({ minBodyBytesPerSecond }: AdmissionLimits): ProblemError {
  return problem('request_timeout', 'The body arrives too slowly.', {
    field: 'body',
    expected: `at least ${minBodyBytesPerSecond} bytes per second`,
  });
}
