/**
 * Owns the Prometheus metrics: their names, labels and buckets. All counting happens on the main thread, because
 * prom-client keeps one registry per thread; workers report through the engine's observer.
 */
import { Registry, collectDefaultMetrics } from 'prom-client';

import type { Policy } from '../decision/policy.js';
import type { Manifest } from '../engine/manifest.js';
import type { EngineObserver, QueueDepth, ServedProbe, SkipReason } from '../engine/types.js';
import { ERRORS, type ErrorCode, FAIL_OPEN_REASONS, type FailOpenReason } from '../errors.js';
import type { FeedbackObserver } from '../feedback/intake.js';
import {
  OPERATOR_FILES,
  type OperatorFile,
  RELOAD_OUTCOMES,
  type ReloadOutcome,
} from '../operator/operator-files.js';
import { outcomesOf } from './decision-outcomes.js';
import { createFeedbackMetrics, type FeedbackMetrics } from './feedback-metrics.js';
import { createInstruments, type Instruments } from './instruments.js';

const SKIP_REASONS: readonly SkipReason[] = ['aborted', 'deadline', 'predicted'];
const MS_PER_SECOND = 1000;
const TENTHS = 10;
/** The label of decisions that nothing has overridden. */
const NO_OVERRIDE = 'none';

/** One answered group, as far as it is counted. */
export interface ScoredEvent {
  readonly probe: ServedProbe;
  readonly policy: Policy;
  /** The decision point's step. */
  readonly step: number;
  readonly results: readonly CountedResult[];
}

interface CountedResult {
  readonly score: number;
  /** 0 to 100; null without calibration. */
  readonly percentile: number | null;
  readonly decision: string;
  readonly reason: string;
  readonly override: string | null;
}

/** A probe that is loaded, with the policy of requests that bring none. */
export interface ExpectedProbe {
  readonly name: string;
  readonly version: number;
  readonly manifest: Manifest;
  readonly policy: Policy;
}

export interface Metrics {
  readonly registry: Registry;
  readonly engineObserver: EngineObserver;
  readonly feedbackObserver: FeedbackObserver;
  /** Reads the queue's depth at each scrape. */
  watchQueue(depth: () => QueueDepth): void;
  /** What `/metrics` answers; the label sets of these probes start at zero if they are new. */
  exposition(probes: readonly ExpectedProbe[]): Promise<string>;
  requestFinished(route: string, method: string, status: number): void;
  problem(code: ErrorCode): void;
  scored(event: ScoredEvent): void;
  failedOpen(reason: FailOpenReason): void;
  /** Durations by stage, ms. */
  stages(durations: readonly (readonly [string, number])[]): void;
  /** How long a caller waited for a probe, ms. */
  waited(probe: ServedProbe, ms: number): void;
  fileReloaded(file: OperatorFile, outcome: ReloadOutcome): void;
}

/** Makes the metrics of one service; every label set that is known beforehand starts at zero. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const instruments = createInstruments(registry);
  const feedback = createFeedbackMetrics(registry);
  startAtZero(instruments);
  return {
    registry,
    engineObserver: observeEngine(instruments),
    feedbackObserver: feedback.observer,
    watchQueue: (depth) => instruments.watchQueue(depth),
    exposition: (probes) => {
      for (const probe of probes) expectProbe(instruments, feedback, probe);
      return registry.metrics();
    },
    requestFinished: (route, method, status) => instruments.requests.inc({ route, method, status }),
    problem: (code) => instruments.problems.inc({ code }),
    scored: (event) => countScored(instruments, feedback, event),
    failedOpen: (reason) => instruments.failedOpen.inc({ reason }),
    stages: (durations) => {
      for (const [stage, ms] of durations) instruments.stageDuration.observe({ stage }, ms / MS_PER_SECOND);
    },
    waited: ({ name: model, version }, ms) => instruments.spent.inc({ model, version }, ms / MS_PER_SECOND),
    fileReloaded: (file, outcome) => {
      instruments.fileReloads.inc({ file, outcome });
      instruments.fileRefused.set({ file }, outcome === 'refused' ? 1 : 0);
    },
  };
}

function startAtZero({ problems, failedOpen, skippedEntries, fileReloads, fileRefused }: Instruments): void {
  for (const code of Object.keys(ERRORS)) problems.inc({ code }, 0);
  for (const reason of FAIL_OPEN_REASONS) failedOpen.inc({ reason }, 0);
  for (const reason of SKIP_REASONS) skippedEntries.inc({ reason }, 0);
  for (const file of OPERATOR_FILES) {
    for (const outcome of RELOAD_OUTCOMES) fileReloads.inc({ file, outcome }, 0);
    fileRefused.set({ file }, 0);
  }
}

/** Label sets that appear only with their first count hide that count from `increase`. */
function expectProbe(
  { decisions, stepsSaved, stepsLost, spent, scoreTenths }: Instruments,
  feedback: FeedbackMetrics,
  { name: model, version, manifest, policy }: ExpectedProbe,
): void {
  for (const counter of [stepsSaved, stepsLost, spent]) counter.inc({ model, version }, 0);
  for (const { step } of manifest.decision_points) {
    feedback.expect({ model, version, step, policy });
    for (const outcome of outcomesOf(policy))
      decisions.inc({ model, version, step, policy: policy.name, ...outcome }, 0);
  }
  for (const { step } of manifest.calibration) {
    for (let tenth = 1; tenth <= TENTHS; tenth += 1) scoreTenths.inc({ model, version, step, tenth }, 0);
  }
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
    // What it has counted stays: a counter that vanishes would take its past from the sums over it.
    probeUnloaded: ({ name, version, provider, sha256 }) => {
      instruments.modelInfo.remove({ model: name, version, sha256 });
      instruments.providerInfo.remove({ model: name, version, provider });
    },
    probeRefused: ({ name, version }) => instruments.refusedProbes.inc({ model: name, version }),
  };
}

function countScored(
  instruments: Instruments,
  feedback: FeedbackMetrics,
  { probe, policy, step, results }: ScoredEvent,
): void {
  const { name: model, version, manifest } = probe;
  const [low, high] = manifest.metric.range;
  instruments.samples.inc({ model, version }, results.length);
  feedback.expect({ model, version, step, policy });
  for (const { score, percentile, decision, reason, override } of results) {
    const labels = { model, version, step, policy: policy.name, decision, reason };
    instruments.decisions.inc({ ...labels, override: override ?? NO_OVERRIDE });
    instruments.score.observe({ model, version, step }, (score - low) / (high - low));
    if (percentile !== null)
      instruments.scoreTenths.inc({ model, version, step, tenth: tenthOf(percentile) });
    if (decision !== 'drop') continue;
    instruments.stepsSaved.inc({ model, version }, manifest.capture.total_steps - step);
    instruments.stepsLost.inc({ model, version }, step);
  }
}

/** From 1 to 10; the calibration scores themselves fall into all of them alike. */
function tenthOf(percentile: number): number {
  return Math.min(TENTHS, Math.floor(percentile / TENTHS) + 1);
}
