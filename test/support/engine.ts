/** Engines for tests: real threads and sessions, with everything that the observer receives recorded. */
import type { TestContext } from 'node:test';

import { createEngine } from '../../src/engine/engine.js';
import type { ProbeTest } from '../../src/engine/repository/repository.js';
import { BatchPlan } from '../../src/engine/warm-up/batch-plan.js';
import { measureProbe } from '../../src/engine/warm-up/warm-up.js';
import { WorkerThread } from '../../src/engine/worker/worker-thread.js';
import { RunningClock } from '../../src/running-clock.js';
import type {
  BatchRun,
  Engine,
  EngineLog,
  EngineObserver,
  EngineOptions,
  ProofOptions,
  SkipReason,
} from '../../src/engine/types.js';

/** The observer's calls, in order. */
export interface Heard {
  readonly runs: BatchRun[];
  /** The runs that succeeded. */
  readonly batches: { model: string; version: number; samples: number; ms: number }[];
  readonly skipped: SkipReason[];
  readonly loaded: string[];
  readonly refused: string[];
  readonly unloaded: string[];
  restarts: number;
}

export interface ObservedEngine {
  readonly engine: Engine;
  readonly heard: Heard;
}

/**
 * Kills a fragile worker, and is within the tolerance of the tiny probe's decision point. fragile-worker.ts repeats the
 * value, because only a worker thread can import that file.
 */
export const FATAL_TIMESTEP = 779.25;
export const FRAGILE_WORKER_URL = new URL('fragile-worker.js', import.meta.url);

const WORKER_URL = new URL('../../src/engine/worker/worker.js', import.meta.url);

export const SILENT_LOG: EngineLog = { info: () => {}, error: () => {} };

/** An engine with one CPU worker by default; it is closed after the test. */
export async function startEngine(
  t: TestContext,
  modelsDir: string,
  options: Partial<EngineOptions> = {},
  makeProver: (options: ProofOptions) => ProbeTest = threadProver,
): Promise<ObservedEngine> {
  // As in main.ts: ONNX Runtime sends telemetry unless this is set before it is loaded.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const heard = nothingHeard();
  const all: EngineOptions = {
    modelsDir,
    ...workerOptions(heard),
    maxBatchSamples: 8,
    warmUpTimeoutMs: 10_000,
    ...options,
  };
  const engine = await createEngine(all, makeProver(all));
  t.after(() => engine.close());
  return { engine, heard };
}

/** What a pool or a prover of one CPU worker needs. */
export function workerOptions(heard = nothingHeard()) {
  return {
    device: 'cpu',
    workers: 1,
    intraOpThreads: 1,
    workerUrl: WORKER_URL,
    warmUpTimeoutMs: 60_000,
    maxQueueSamples: 64,
    maxQueueBytes: 16 * 1024 * 1024,
    clock: new RunningClock(),
    log: SILENT_LOG,
    observer: listener(heard),
  } as const;
}

function nothingHeard(): Heard {
  return { runs: [], batches: [], skipped: [], loaded: [], refused: [], unloaded: [], restarts: 0 };
}

/** Tests probes in a thread of this process, which starts sooner than another process. */
export function threadProver(options: ProofOptions): ProbeTest {
  const { workerUrl = WORKER_URL, device, intraOpThreads = 1, clock, maxBatchSamples } = options;
  return {
    prove: async (files) => {
      const thread = new WorkerThread(workerUrl, { device, intraOpThreads }, clock);
      try {
        const probe = { ...files, key: 1 };
        const measurements = await measureProbe({ thread, runLimitMs: Infinity, probe }, maxBatchSamples);
        return new BatchPlan(measurements, maxBatchSamples);
      } finally {
        await thread.close();
      }
    },
    release: () => {},
  };
}

function listener(heard: Heard): EngineObserver {
  return {
    batchRun: (run) => {
      heard.runs.push(run);
      const { probe, samples, ms } = run;
      if (ms !== undefined) heard.batches.push({ model: probe.name, version: probe.version, samples, ms });
    },
    entrySkipped: (reason) => heard.skipped.push(reason),
    workerRestarted: () => {
      heard.restarts += 1;
    },
    probeLoaded: ({ name, version }) => heard.loaded.push(`${name}@${version}`),
    probeUnloaded: ({ name, version }) => heard.unloaded.push(`${name}@${version}`),
    probeRefused: ({ name, version }) => heard.refused.push(`${name}@${version}`),
  };
}
