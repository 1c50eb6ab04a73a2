/** Builds the engine from its components: worker pool, request queue, batcher, probe registry and model repository. */
import { availableParallelism } from 'node:os';

import { messageOf, problem } from '../errors.js';
import { Batcher, NO_WORKER, unready } from './batching/batcher.js';
import { RequestQueue } from './batching/queue.js';
import { ScoreRequest } from './batching/score-request.js';
import { WorkerPool } from './pool/pool.js';
import { Prover } from './proof/prover.js';
import { ProbeRegistry } from './repository/registry.js';
import { type ProbeTest, Repository } from './repository/repository.js';
import type { Engine, EngineOptions, ProofOptions } from './types.js';

export type * from './types.js';

/** The least limit of a run in a warm-up, whose runs are cold. */
const WARM_UP_TIMEOUT_MS = 10_000;
const WORKER_URL = new URL('worker/worker.js', import.meta.url);
/** A run gains little from more threads than this. */
const MAX_WIDE_THREADS = 4;

/** Starts the process that tests probes. The earlier it is called, the earlier the engine can score. */
export function startProver(options: ProofOptions): ProbeTest {
  return new Prover(withDefaults(options));
}

/**
 * Starts the workers and loads every probe of the repository. Resolves when the engine can score, or when readiness() says
 * why it cannot.
 * @param prover of the same options.
 * @throws {StartError} when the models' folder cannot be read, or when a device that was set by name cannot be used.
 */
export async function createEngine(
  options: EngineOptions,
  prover: ProbeTest = startProver(options),
): Promise<Engine> {
  const resolved = withDefaults(options);
  const { log, workers, intraOpThreads, wideThreads } = resolved;
  const registry = new ProbeRegistry(options.defaultModel);
  const requestQueue = new RequestQueue(options);
  const pool = new WorkerPool({ ...resolved, onChange: () => batcher.onWorkersChange() });
  const batcher = new Batcher({ ...options, requestQueue, pool });
  const repository = new Repository({ ...options, pool, prover, registry, batcher });
  try {
    // The right number of workers depends on the device, which is known when the first one has loaded a probe.
    await pool.add(1);
    await repository.scan('start');
    const provider = registry.list().some(({ probe }) => probe?.provider === 'cuda') ? 'cuda' : 'cpu';
    // One worker is enough on CUDA: the device runs one batch after the other. The others join while the first one serves.
    const size = options.workers ?? (provider === 'cuda' ? 1 : workers);
    const joined = [pool.add(size - 1)];
    if (provider === 'cpu' && wideThreads !== undefined) joined.push(pool.add(1, true));
    void Promise.all(joined).then(() => log.info({}, 'every worker has started'));
    log.info({ workers: size, intraOpThreads, provider }, 'the engine has started');
  } catch (error) {
    await repository.close();
    await pool.close();
    throw error;
  }
  if (options.modelsPollMs) void repository.poll(options.modelsPollMs);

  let closing: Promise<number> | undefined;
  const drain = async (): Promise<number> => {
    await Promise.all([repository.close(), batcher.untilIdle()]);
    await pool.close();
    return pool.hung;
  };
  return {
    probes: () => registry.list(),
    resolve: (reference) => registry.resolve(reference),
    score: async (probe, body, scoreOptions = {}) => {
      if (closing) throw unready('it is shutting down');
      if (!registry.isLoaded(probe)) throw unready(`${probe.name}@${probe.version} is not loaded any more`);
      const request = new ScoreRequest(probe, body, scoreOptions);
      batcher.submit(request, scoreOptions.signal);
      return request.answer;
    },
    readiness: () => {
      const reason = closing ? 'shutting down' : pool.live === 0 ? NO_WORKER : registry.whyUnready();
      return reason === undefined ? { ready: true } : { ready: false, reason };
    },
    predictedLatencyMs: (request) => batcher.predictedLatencyMs(request),
    queueRefusal: (tenant, samples, bytes) => requestQueue.refusal(tenant, samples, bytes),
    queueDepth: () => requestQueue.depth(),
    reload: async () => {
      if (closing) throw unready('it is shutting down');
      return repository.reload().catch((cause: unknown) => {
        throw problem('unready', `${messageOf(cause)}.`, { cause });
      });
    },
    close: () => (closing ??= drain()),
  };
}

function withDefaults<Options extends ProofOptions>(options: Options) {
  const cores = availableParallelism();
  const workers = options.workers ?? cores;
  const intraOpThreads = options.intraOpThreads ?? Math.max(1, Math.floor(cores / workers));
  const wideThreads = Math.min(cores, MAX_WIDE_THREADS);
  // An operator who sets the threads of a run gets exactly that many.
  const hasWide = options.intraOpThreads === undefined && wideThreads > intraOpThreads;
  return {
    ...options,
    workers,
    intraOpThreads,
    wideThreads: hasWide ? wideThreads : undefined,
    workerUrl: options.workerUrl ?? WORKER_URL,
    warmUpTimeoutMs: Math.max(options.inferenceTimeoutMs ?? 0, options.warmUpTimeoutMs ?? WARM_UP_TIMEOUT_MS),
  };
}
