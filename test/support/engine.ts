/** Owns running engines for tests: real threads and sessions, everything observed written down, closed after the test. */
import type { TestContext } from 'node:test';

import { createEngine } from '../../src/engine/engine.js';
import type { Engine, EngineLog, EngineObserver, EngineOptions, SkipReason } from '../../src/engine/types.js';

/** What the observer heard, in order. */
export interface Heard {
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
 * Kills a fragile worker, and is at the tiny probe's decision point; must be the same as in fragile-worker.ts, which only
 * a thread may import.
 */
export const FATAL_TIMESTEP = 779.25;
export const FRAGILE_WORKER_URL = new URL('fragile-worker.js', import.meta.url);

export const SILENT_LOG: EngineLog = { info: () => {}, warn: () => {}, error: () => {} };

/** An engine on one CPU worker unless told otherwise. */
export async function startEngine(
  t: TestContext,
  modelsDir: string,
  options: Partial<EngineOptions> = {},
): Promise<ObservedEngine> {
  // What main.ts does for the service: ONNX Runtime reports home unless told not to before it is loaded.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const heard: Heard = { batches: [], skipped: [], loaded: [], refused: [], unloaded: [], restarts: 0 };
  const engine = await createEngine({
    modelsDir,
    device: 'cpu',
    workers: 1,
    intraOpThreads: 1,
    maxBatchSamples: 8,
    maxQueueSamples: 64,
    maxQueueBytes: 16 * 1024 * 1024,
    log: SILENT_LOG,
    observer: listener(heard),
    ...options,
  });
  t.after(() => engine.close());
  return { engine, heard };
}

function listener(heard: Heard): EngineObserver {
  return {
    batchRun: (run) => heard.batches.push(run),
    entrySkipped: (reason) => heard.skipped.push(reason),
    workerRestarted: () => {
      heard.restarts += 1;
    },
    probeLoaded: ({ name, version }) => heard.loaded.push(`${name}@${version}`),
    probeUnloaded: ({ name, version }) => heard.unloaded.push(`${name}@${version}`),
    probeRefused: ({ name, version }) => heard.refused.push(`${name}@${version}`),
  };
}
