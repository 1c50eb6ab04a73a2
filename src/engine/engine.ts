/** Owns the engine as a whole: puts threads, queue and probes together and answers for them. */
import { availableParallelism } from 'node:os';

import { RequestQueue } from './batching/queue.js';
import { ProbeRegistry } from './repository/registry.js';
import { WorkerPool } from './pool/pool.js';
import { Repository } from './repository/repository.js';
import { RunningEngine, unready } from './running-engine.js';
import { Batcher } from './batching/batcher.js';
import type { Engine, EngineOptions } from './types.js';

export type * from './types.js';

const WORKER_URL = new URL('worker/worker.js', import.meta.url);

/**
 * Starts the workers and loads every probe of the repository; resolves when the engine can answer, or when
 * readiness() says why it cannot.
 * @throws {Error} when the models' folder cannot be read, or the device asked for by name cannot be used.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { log, observer, modelsDir, modelsPollMs = 0 } = options;
  const cores = availableParallelism();
  const intraOpThreads =
    options.intraOpThreads ?? Math.max(1, Math.floor(cores / (options.workers ?? cores)));
  const registry = new ProbeRegistry(options.defaultModel);
  const requestQueue = new RequestQueue(options);
  const pool = new WorkerPool({
    workerUrl: options.workerUrl ?? WORKER_URL,
    settings: { device: options.device, intraOpThreads },
    // Who sets the threads of a run gets just them.
    allCores: options.intraOpThreads === undefined && intraOpThreads < cores ? cores : undefined,
    isQueueEmpty: () => requestQueue.depth().samples === 0,
    maxBatchSamples: options.maxBatchSamples,
    inferenceTimeoutMs: options.inferenceTimeoutMs,
    warmUpTimeoutMs: options.warmUpTimeoutMs,
    log,
    onIdle: () => batcher.pump(),
    onDown: () => {
      if (pool.live === 0) batcher.rejectWaiting(() => unready('no worker can take work'));
    },
    onRestart: () => observer.workerRestarted(),
    onHang: (reason) => options.onHang?.(reason),
  });
  const batcher = new Batcher({
    requestQueue,
    idleSlot: () => pool.idle(),
    idleThreads: () => pool.idleCount,
    liveThreads: () => pool.live,
    maxQueueDelayUs: options.maxQueueDelayUs ?? 0,
    observer,
    onRun: options.onRun,
  });
  const released = (key: number): Promise<void> => batcher.released(key);
  const repository = new Repository({ modelsDir, pool, registry, released, log, observer });
  try {
    // The first thread shows what the device is; only then is it known how many threads are right.
    await pool.grow(1);
    await repository.loadAll();
    const provider = registry.list().some((probe) => probe.provider === 'cuda') ? 'cuda' : 'cpu';
    // On CUDA the device itself takes one run after the other.
    await pool.grow(options.workers ?? (provider === 'cuda' ? 1 : cores));
    log.info({ workers: pool.size, intraOpThreads, provider }, 'the engine is up');
  } catch (error) {
    await pool.close();
    throw error;
  }
  if (modelsPollMs > 0) repository.poll(modelsPollMs);
  return new RunningEngine({ registry, requestQueue, pool, batcher, repository });
}
