/** Owns the engine's answers once it runs: what it takes in, when it is ready, and how it ends. */
import { problem } from '../errors.js';
import type { DecodedBody } from '../wire/tensor.js';
import type { RequestQueue } from './batching/queue.js';
import type { ProbeRegistry } from './repository/registry.js';
import type { WorkerPool } from './pool/pool.js';
import type { Batcher } from './batching/batcher.js';
import { messageOf } from '../probe/refusal.js';
import type { Repository } from './repository/repository.js';
import { ScoreRequest } from './batching/score-request.js';
import type {
  Engine,
  EngineResult,
  ProbeChange,
  ProbeStatus,
  QueueDepth,
  Readiness,
  ScoreOptions,
  ServedProbe,
} from './types.js';

const RETRY_AFTER_SECONDS = 1;

/** What an engine is made of. */
export interface EngineComponents {
  readonly registry: ProbeRegistry;
  readonly requestQueue: RequestQueue;
  readonly pool: WorkerPool;
  readonly batcher: Batcher;
  readonly repository: Repository;
}

/** Answers for threads, queue and probes that others have put together. */
export class RunningEngine implements Engine {
  readonly #slices: EngineComponents;
  #closing: Promise<number> | undefined;

  constructor(slices: EngineComponents) {
    this.#slices = slices;
  }

  probes(): ProbeStatus[] {
    return this.#slices.registry.list();
  }

  resolve(reference: string | undefined): ServedProbe {
    return this.#slices.registry.resolve(reference);
  }

  async score(probe: ServedProbe, body: DecodedBody, options: ScoreOptions = {}): Promise<EngineResult> {
    if (this.#closing) throw unready('it is shutting down');
    if (this.#slices.pool.live === 0) throw unready('no worker can take work');
    const loaded = this.#slices.registry.loaded(probe);
    if (!loaded) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
    const request = new ScoreRequest(loaded, body, options);
    this.#slices.batcher.submit(request, options.signal);
    return request.answer;
  }

  readiness(): Readiness {
    const reason = this.#reasonNotReady();
    return reason === undefined ? { ready: true } : { ready: false, reason };
  }

  predictedLatencyMs(receiving: number): number {
    return this.#slices.batcher.predictedLatencyMs(receiving);
  }

  queueDepth(): QueueDepth {
    return this.#slices.requestQueue.depth();
  }

  async reload(): Promise<ProbeChange[]> {
    if (this.#closing) throw unready('it is shutting down');
    try {
      return await this.#slices.repository.reload();
    } catch (error) {
      throw problem('unready', `The model repository cannot be read: ${messageOf(error)}.`, { cause: error });
    }
  }

  close(): Promise<number> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<number> {
    const { batcher, repository, pool } = this.#slices;
    const lookedLast = repository.close();
    await batcher.drained();
    // The last look may be waiting for a thread that hangs.
    if (pool.hung === 0) await lookedLast;
    await pool.close();
    return pool.hung;
  }

  #reasonNotReady(): string | undefined {
    if (this.#closing) return 'shutting down';
    if (this.#slices.pool.hung > 0)
      return `${this.#slices.pool.hung} of ${this.#slices.pool.size} workers hang`;
    if (this.#slices.pool.live === 0) return 'no worker can take work';
    return this.#slices.registry.whyUnready();
  }
}

/** The error of a request that finds the engine unable to score. */
export function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`, {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
