/** Builds the engine from its components: worker pool, request queue, batcher, probe registry and model repository. */
import { availableParallelism } from 'node:os';

import { messageOf, problem } from '../errors.js';
import { Batcher } from './batching/batcher.js';
import { RequestQueue } from './batching/queue.js';
import { ScoreRequest } from './batching/score-request.js';
import { WorkerPool } from './pool/pool.js';
import { Prover } from './proof/prover.js';
import { ProbeRegistry } from './repository/registry.js';
import { type ProbeTest, Repository } from './repository/repository.js';
import type { Engine, EngineOptions, ServedProbe } from './types.js';

export type * from './types.js';

/** The least limit of a run in a warm-up, whose runs are cold. */
const WARM_UP_TIMEOUT_MS = 10_000;
const WORKER_URL = new URL('worker/worker.js', import.meta.url);
/** A run gains little from more threads than this. */
const MAX_WIDE_THREADS = 4;

/** The options of the process that tests probes: those of the engine, as far as they concern it. */
export type ProofOptions = Omit<EngineOptions, 'modelsDir' | 'log' | 'observer'> & {
  /** Called when the test of a probe begins: this process has time meanwhile. */
  readonly onTest?: () => void;
};

/** Starts the process that tests probes. The earlier it is called, the earlier the engine can score. */
export function startProver(options: ProofOptions): ProbeTest {
  const { workerUrl, settings, warmUpTimeoutMs } = workersOf(options);
  return new Prover({
    workerUrl,
    worker: settings,
    maxBatchSamples: options.maxBatchSamples,
    runLimitMs: warmUpTimeoutMs,
    onTest: options.onTest,
    proofTimeoutMs: options.proofTimeoutMs ?? Infinity,
    proofMemoryBytes: options.proofMemoryBytes ?? Infinity,
    clock: options.clock,
  });
}

/**
 * Starts the workers and loads every probe of the repository. Resolves when the engine can score, or when readiness() says
 * why it cannot.
 * @param prover of the same options.
 * @throws {Error} when the models' folder cannot be read, or when a device that was set by name cannot be used.
 */
export async function createEngine(
  options: EngineOptions,
  prover: ProbeTest = startProver(options),
): Promise<Engine> {
  const { log, observer, modelsDir, modelsPollMs = 0 } = options;
  const { workers, wideThreads, ...workerOptions } = workersOf(options);
  const registry = new ProbeRegistry(options.defaultModel);
  const requestQueue = new RequestQueue(options);
  const pool = new WorkerPool({
    ...workerOptions,
    clock: options.clock,
    inferenceTimeoutMs: options.inferenceTimeoutMs,
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
  const untilUnused = (probe: ServedProbe): Promise<void> => batcher.untilUnused(probe);
  const repository = new Repository({ modelsDir, pool, prover, registry, untilUnused, log, observer });
  try {
    // The right number of workers depends on the device, which is known when the first one has loaded a probe.
    await pool.grow(1);
    await repository.loadAll();
    const provider = registry.list().some((probe) => probe.provider === 'cuda') ? 'cuda' : 'cpu';
    // One worker is enough on CUDA: the device runs one batch after the other. The others join while the first one serves.
    const joined = [pool.grow(options.workers ?? (provider === 'cuda' ? 1 : workers))];
    if (provider === 'cpu' && wideThreads !== undefined) joined.push(pool.addWide(wideThreads));
    void Promise.all(joined).then(() => log.info({}, 'every worker has started'));
    const { intraOpThreads } = workerOptions.settings;
    log.info({ workers: pool.size, intraOpThreads, provider }, 'the engine has started');
  } catch (error) {
    await repository.close();
    await pool.close();
    throw error;
  }
  if (modelsPollMs > 0) void repository.poll(modelsPollMs);

  let closing: Promise<number> | undefined;
  const drain = async (): Promise<number> => {
    const scanEnded = repository.close();
    await batcher.untilIdle();
    await scanEnded;
    await pool.close();
    return pool.hung;
  };
  const whyUnready = (): string | undefined => {
    if (closing) return 'shutting down';
    return pool.live === 0 ? 'no worker can take work' : registry.whyUnready();
  };
  return {
    probes: () => registry.list(),
    resolve: (reference) => registry.resolve(reference),
    score: async (probe, body, scoreOptions = {}) => {
      if (closing) throw unready('it is shutting down');
      if (pool.live === 0) throw unready('no worker can take work');
      const loaded = registry.loaded(probe);
      if (!loaded) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
      const request = new ScoreRequest(loaded, body, scoreOptions);
      batcher.submit(request, scoreOptions.signal);
      return request.answer;
    },
    readiness: () => {
      const reason = whyUnready();
      return reason === undefined ? { ready: true } : { ready: false, reason };
    },
    predictedLatencyMs: (request) => batcher.predictedLatencyMs(request),
    queueRefusal: (tenant, samples, bytes) => requestQueue.refusal(tenant, samples, bytes),
    queueDepth: () => requestQueue.depth(),
    reload: async () => {
      if (closing) throw unready('it is shutting down');
      try {
        return await repository.reload();
      } catch (error) {
        throw problem('unready', `The model repository cannot be read: ${messageOf(error)}.`, {
          cause: error,
        });
      }
    },
    close: () => (closing ??= drain()),
  };
}

function workersOf(options: ProofOptions) {
  const cores = availableParallelism();
  const workers = options.workers ?? cores;
  const intraOpThreads = options.intraOpThreads ?? Math.max(1, Math.floor(cores / workers));
  const wideThreads = Math.min(cores, MAX_WIDE_THREADS);
  // An operator who sets the threads of a run gets exactly that many.
  const hasWide = options.intraOpThreads === undefined && wideThreads > intraOpThreads;
  return {
    workers,
    wideThreads: hasWide ? wideThreads : undefined,
    workerUrl: options.workerUrl ?? WORKER_URL,
    settings: { device: options.device, intraOpThreads },
    warmUpTimeoutMs: Math.max(options.inferenceTimeoutMs ?? 0, options.warmUpTimeoutMs ?? WARM_UP_TIMEOUT_MS),
  };
}

function unready(reason: string): Error {
  return problem('unready', `The engine cannot score now: ${reason}.`);
}
