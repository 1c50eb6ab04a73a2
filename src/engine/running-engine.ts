/** Owns the engine's answers once it runs: what it takes in, when it is ready, and how it ends. */
import { problem } from '../errors.js';
import type { DecodedBody } from '../wire/tensor.js';
import type { Backlog } from './backlog.js';
import type { Catalogue } from './catalogue.js';
import type { WorkerPool } from './pool.js';
import type { Scheduler } from './scheduler.js';
import { ScoreRequest } from './score-request.js';
import type {
  Engine,
  EngineResult,
  ProbeStatus,
  QueueDepth,
  Readiness,
  ScoreOptions,
  ServedProbe,
} from './types.js';

const RETRY_AFTER_SECONDS = 1;

/** Answers for threads, queue and probes that others have put together. */
export class RunningEngine implements Engine {
  readonly #catalogue: Catalogue;
  readonly #backlog: Backlog;
  readonly #pool: WorkerPool;
  readonly #scheduler: Scheduler;
  #closing: Promise<void> | undefined;

  constructor(catalogue: Catalogue, backlog: Backlog, pool: WorkerPool, scheduler: Scheduler) {
    this.#catalogue = catalogue;
    this.#backlog = backlog;
    this.#pool = pool;
    this.#scheduler = scheduler;
  }

  probes(): ProbeStatus[] {
    return this.#catalogue.list();
  }

  resolve(reference: string | undefined): ServedProbe {
    return this.#catalogue.resolve(reference);
  }

  async score(probe: ServedProbe, body: DecodedBody, options: ScoreOptions = {}): Promise<EngineResult> {
    if (this.#closing) throw unready('it is shutting down');
    if (this.#pool.live === 0) throw unready('no worker can take work');
    const loaded = this.#catalogue.loaded(probe);
    if (!loaded) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
    const request = new ScoreRequest(loaded, body);
    this.#scheduler.submit(request, options);
    return request.answer;
  }

  readiness(): Readiness {
    const reason = this.#reasonNotReady();
    return reason === undefined ? { ready: true } : { ready: false, reason };
  }

  queueDepth(): QueueDepth {
    return this.#backlog.depth();
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    await this.#scheduler.drained();
    await this.#pool.close();
  }

  #reasonNotReady(): string | undefined {
    if (this.#closing) return 'shutting down';
    if (this.#pool.hung > 0) return `${this.#pool.hung} of ${this.#pool.size} workers hang`;
    if (this.#pool.live === 0) return 'no worker can take work';
    return this.#catalogue.whyUnready();
  }
}

/** The error of a request that finds the engine unable to score. */
export function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`, {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
