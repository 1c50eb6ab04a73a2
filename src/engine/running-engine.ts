/** Owns the engine's answers once it runs: what it takes in, when it is ready, and how it ends. */
import { problem } from '../errors.js';
import type { DecodedBody } from '../wire/tensor.js';
import type { Backlog } from './batching/queue.js';
import type { Catalogue } from './repository/registry.js';
import type { WorkerPool } from './pool/pool.js';
import type { Scheduler } from './batching/batcher.js';
import { reasonOf } from '../probe/refusal.js';
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
export interface EngineParts {
  readonly catalogue: Catalogue;
  readonly backlog: Backlog;
  readonly pool: WorkerPool;
  readonly scheduler: Scheduler;
  readonly repository: Repository;
}

/** Answers for threads, queue and probes that others have put together. */
export class RunningEngine implements Engine {
  readonly #parts: EngineParts;
  #closing: Promise<number> | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  probes(): ProbeStatus[] {
    return this.#parts.catalogue.list();
  }

  resolve(reference: string | undefined): ServedProbe {
    return this.#parts.catalogue.resolve(reference);
  }

  async score(probe: ServedProbe, body: DecodedBody, options: ScoreOptions = {}): Promise<EngineResult> {
    if (this.#closing) throw unready('it is shutting down');
    if (this.#parts.pool.live === 0) throw unready('no worker can take work');
    const loaded = this.#parts.catalogue.loaded(probe);
    if (!loaded) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
    const request = new ScoreRequest(loaded, body, options);
    this.#parts.scheduler.submit(request, options.signal);
    return request.answer;
  }

  readiness(): Readiness {
    const reason = this.#reasonNotReady();
    return reason === undefined ? { ready: true } : { ready: false, reason };
  }

  mayNeedMs(receiving: number): number {
    return this.#parts.scheduler.mayNeedMs(receiving);
  }

  queueDepth(): QueueDepth {
    return this.#parts.backlog.depth();
  }

  async reload(): Promise<ProbeChange[]> {
    if (this.#closing) throw unready('it is shutting down');
    try {
      return await this.#parts.repository.reload();
    } catch (error) {
      throw problem('unready', `The model repository cannot be read: ${reasonOf(error)}.`, { cause: error });
    }
  }

  close(): Promise<number> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<number> {
    const { scheduler, repository, pool } = this.#parts;
    const lookedLast = repository.close();
    await scheduler.drained();
    // The last look may be waiting for a thread that hangs.
    if (pool.hung === 0) await lookedLast;
    await pool.close();
    return pool.hung;
  }

  #reasonNotReady(): string | undefined {
    if (this.#closing) return 'shutting down';
    if (this.#parts.pool.hung > 0) return `${this.#parts.pool.hung} of ${this.#parts.pool.size} workers hang`;
    if (this.#parts.pool.live === 0) return 'no worker can take work';
    return this.#parts.catalogue.whyUnready();
  }
}

/** The error of a request that finds the engine unable to score. */
export function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`, {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
