/**
 * Owns the Prometheus metrics: their names, labels and buckets. All counting happens on the main thread, because
 * prom-client keeps one registry per thread; workers report through the engine's observer.
 */
import { Registry, collectDefaultMetrics } from 'prom-client';

import type { Policy } from '../decision/policy.js';
import type { EngineObserver, QueueDepth, ServedProbe, SkipReason } from '../engine/types.js';
import { ERRORS, type ErrorCode, FAIL_OPEN_REASONS, type FailOpenReason } from '../errors.js';
import { createInstruments, type Instruments } from './instruments.js';

const SKIP_REASONS: readonly SkipReason[] = ['aborted', 'deadline'];
const MS_PER_SECOND = 1000;

/** One answered group, as far as it is counted. */
export interface ScoredEvent {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** The decision point's step. */
  readonly step: number;
  readonly results: readonly { readonly score: number; readonly decision: string; readonly reason: string }[];
}

export interface Metrics {
  readonly registry: Registry;
  readonly engineObserver: EngineObserver;
  /** Reads the queue's depth at each scrape. */
  watchQueue(depth: () => QueueDepth): void;
  requestFinished(route: string, method: string, status: number): void;
  problem(code: ErrorCode): void;
  scored(event: ScoredEvent): void;
  failedOpen(reason: FailOpenReason): void;
  /** Durations by stage, ms. */
  stages(durations: readonly (readonly [string, number])[]): void;
}

/** Makes the metrics of one service; every label set that is known beforehand starts at zero. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const instruments = createInstruments(registry);
  startAtZero(instruments);
  return {
    registry,
    engineObserver: observeEngine(instruments),
    watchQueue: (depth) => instruments.watchQueue(depth),
    requestFinished: (route, method, status) => instruments.requests.inc({ route, method, status }),
    problem: (code) => instruments.problems.inc({ code }),
    scored: (event) => countScored(instruments, event),
    failedOpen: (reason) => instruments.failedOpen.inc({ reason }),
    stages: (durations) => {
      for (const [stage, ms] of durations) instruments.stageDuration.observe({ stage }, ms / MS_PER_SECOND);
    },
  };
}

function startAtZero({ problems, failedOpen, skippedEntries }: Instruments): void {
  for (const code of Object.keys(ERRORS)) problems.inc({ code }, 0);
  for (const reason of FAIL_OPEN_REASONS) failedOpen.inc({ reason }, 0);
  for (const reason of SKIP_REASONS) skippedEntries.inc({ reason }, 0);
}

function observeEngine(instruments: Instruments): EngineObserver {
  return {
    batchRun: ({ model, version, samples, ms }) => {
      instruments.batchSize.observe({ model, version }, samples);
      instruments.batchDuration.observe({ model, version }, ms / MS_PER_SECOND);
    },
    entrySkipped: (reason) => instruments.skippedEntries.inc({ reason }),
    workerRestarted: () => instruments.workerRestarts.inc(),
    probeLoaded: ({ name, version, provider, sha256 }) => {
      const probe = { model: name, version };
      instruments.modelInfo.set({ ...probe, sha256 }, 1);
      instruments.providerInfo.set({ ...probe, provider }, 1);
      instruments.samples.inc(probe, 0);
    },
    probeRefused: ({ name, version }) => instruments.refusedProbes.inc({ model: name, version }),
  };
}

function countScored(instruments: Instruments, { probe, policy, step, results }: ScoredEvent): void {
  const { name: model, version, manifest } = probe;
  const [low, high] = manifest.metric.range;
  instruments.samples.inc({ model, version }, results.length);
  for (const { score, decision, reason } of results) {
    instruments.decisions.inc({ model, version, step, policy: policy.name, decision, reason });
    instruments.score.observe({ model, version, step }, (score - low) / (high - low));
    if (decision === 'drop')
      instruments.stepsSaved.inc({ model, version }, manifest.capture.total_steps - step);
  }
}
