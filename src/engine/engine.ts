/** Builds the engine from its components: worker pool, request queue, batcher, probe registry and model repository. */
import { availableParallelism } from 'node:os';

import { messageOf, problem } from '../errors.js';
import type { DecodedBody } from '../wire/tensor.js';
import { Batcher } from './batching/batcher.js';
import { RequestQueue } from './batching/queue.js';
import { ScoreRequest } from './batching/score-request.js';
import { WorkerPool } from './pool/pool.js';
import { type ProbeTest, Prover, type ProverOptions } from './proof/prover.js';
import { ProbeRegistry } from './repository/registry.js';
import { Repository } from './repository/repository.js';
import type {
  Engine,
  EngineOptions,
  EngineResult,
  ExpectedRequest,
  ProbeChange,
  ProbeStatus,
  QueueDepth,
  QueueRefusal,
  Readiness,
  ScoreOptions,
  ServedProbe,
} from './types.js';

export type * from './types.js';

/** The limit of a run in the test of a probe, whose runs are cold. */
const WARM_UP_TIMEOUT_MS = 10_000;
const WORKER_URL = new URL('worker/worker.js', import.meta.url);
/** A run gains little from more threads than this. See docs/adr/0001-few-wide-sessions.md. */
const MAX_THREADS_PER_RUN = 4;

/**
 * Starts the workers and loads every probe of the repository. Resolves when the engine can score, or when readiness() says
 * why it cannot.
 * @param makeProver only tests set it.
 * @throws {Error} when the models' folder cannot be read, or when a device that was set by name cannot be used.
 */
export async function createEngine(
  options: EngineOptions,
  makeProver: (options: ProverOptions) => ProbeTest = (settings) => new Prover(settings),
): Promise<Engine> {
  const { log, observer, modelsDir, modelsPollMs = 0 } = options;
  const cores = availableParallelism();
  const workers = options.workers ?? Math.ceil(cores / MAX_THREADS_PER_RUN);
  const intraOpThreads = options.intraOpThreads ?? Math.max(1, Math.floor(cores / workers));
  const workerUrl = options.workerUrl ?? WORKER_URL;
  const worker = { device: options.device, intraOpThreads };
  const registry = new ProbeRegistry(options.defaultModel);
  const requestQueue = new RequestQueue(options);
  const pool = new WorkerPool({
    workerUrl,
    settings: worker,
    maxBatchSamples: options.maxBatchSamples,
    clock: options.clock,
    inferenceTimeoutMs: options.inferenceTimeoutMs,
    warmUpTimeoutMs: options.warmUpTimeoutMs,
    log,
    onIdle: () => batcher.startRuns(),
    onDown: () => {
      if (pool.live === 0) batcher.rejectWaiting(() => unready('no worker can take work'));
    },
    onRestart: () => observer.workerRestarted(),
    onHang: (reason) => options.onHang?.(reason),
  });
  const batcher = new Batcher({
    requestQueue,
    pool,
    maxQueueDelayUs: options.maxQueueDelayUs ?? 0,
    observer,
    onRun: options.onRun,
  });
  const untilUnused = (key: number): Promise<void> => batcher.untilUnused(key);
  const prover = makeProver({
    workerUrl,
    worker,
    maxBatchSamples: options.maxBatchSamples,
    runLimitMs: Math.max(options.inferenceTimeoutMs ?? 0, options.warmUpTimeoutMs ?? WARM_UP_TIMEOUT_MS),
    proofTimeoutMs: options.proofTimeoutMs ?? Infinity,
    proofMemoryBytes: options.proofMemoryBytes ?? Infinity,
    clock: options.clock,
  });
  const repository = new Repository({ modelsDir, pool, prover, registry, untilUnused, log, observer });
  try {
    // The right number of workers depends on the device, which is known when the first one has loaded a probe.
    await pool.grow(1);
    await repository.loadAll();
    const provider = registry.list().some((probe) => probe.provider === 'cuda') ? 'cuda' : 'cpu';
    // One worker is enough on CUDA: the device runs one batch after the other.
    await pool.grow(options.workers ?? (provider === 'cuda' ? 1 : workers));
    log.info({ workers: pool.size, intraOpThreads, provider }, 'the engine has started');
  } catch (error) {
    await repository.close();
    await pool.close();
    throw error;
  }
  if (modelsPollMs > 0) void repository.poll(modelsPollMs);
  return new RunningEngine({ registry, requestQueue, pool, batcher, repository });
}

interface EngineComponents {
  readonly registry: ProbeRegistry;
  readonly requestQueue: RequestQueue;
  readonly pool: WorkerPool;
  readonly batcher: Batcher;
  readonly repository: Repository;
}

class RunningEngine implements Engine {
  readonly #components: EngineComponents;
  #closing: Promise<number> | undefined;

  constructor(components: EngineComponents) {
    this.#components = components;
  }

  probes(): ProbeStatus[] {
    return this.#components.registry.list();
  }

  resolve(reference: string | undefined): ServedProbe {
    return this.#components.registry.resolve(reference);
  }

  async score(probe: ServedProbe, body: DecodedBody, options: ScoreOptions = {}): Promise<EngineResult> {
    if (this.#closing) throw unready('it is shutting down');
    const { pool, registry, batcher } = this.#components;
    if (pool.live === 0) throw unready('no worker can take work');
    const loaded = registry.loaded(probe);
    if (!loaded) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
    const request = new ScoreRequest(loaded, body, options);
    batcher.submit(request, options.signal);
    return request.answer;
  }

  readiness(): Readiness {
    const reason = this.#reasonNotReady();
    return reason === undefined ? { ready: true } : { ready: false, reason };
  }

  predictedLatencyMs(request: ExpectedRequest): number {
    const { batcher, registry } = this.#components;
    return batcher.predictedLatencyMs(request, request.probe && registry.loaded(request.probe)?.key);
  }

  queueRefusal(tenant: string, samples: number, bytes: number): QueueRefusal | undefined {
    return this.#components.requestQueue.refusal(tenant, samples, bytes);
  }

  queueDepth(): QueueDepth {
    return this.#components.requestQueue.depth();
  }

  async reload(): Promise<ProbeChange[]> {
    if (this.#closing) throw unready('it is shutting down');
    try {
      return await this.#components.repository.reload();
    } catch (error) {
      throw problem('unready', `The model repository cannot be read: ${messageOf(error)}.`, { cause: error });
    }
  }

  close(): Promise<number> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<number> {
    const { batcher, repository, pool } = this.#components;
    const scanEnded = repository.close();
    await batcher.untilIdle();
    await scanEnded;
    await pool.close();
    return pool.hung;
  }

  #reasonNotReady(): string | undefined {
    const { pool, registry } = this.#components;
    if (this.#closing) return 'shutting down';
    if (pool.live === 0) return 'no worker can take work';
    return registry.whyUnready();
  }
}

function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`);
}
