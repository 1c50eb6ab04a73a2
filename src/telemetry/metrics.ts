/**
 * Owns the Prometheus metrics: their names, labels and buckets. All counting happens on the main thread, because
 * prom-client keeps one registry per thread; workers report through the engine's observer.
 */
import { Registry, collectDefaultMetrics } from 'prom-client';

import type { Policy } from '../decision/policy.js';
import type { Manifest } from '../probe/manifest.js';
import type { EngineObserver, ServedProbe, SkipReason } from '../engine/types.js';
import { ERRORS, type ErrorCode, FAIL_OPEN_REASONS } from '../errors.js';
import type { FeedbackObserver } from '../feedback/intake.js';
import {
  OPERATOR_FILES,
  type OperatorFile,
  RELOAD_OUTCOMES,
  type ReloadOutcome,
} from '../config/operator-files.js';
import { outcomesOf } from './decision-outcomes.js';
import { createFeedbackMetrics, type FeedbackMetrics } from './feedback-metrics.js';
import { observeEngine } from './engine-metrics.js';
import { createInstruments, type Instruments, type WatchedEngine } from './instruments.js';
import {
  countScored,
  countUnscored,
  probeLabels,
  type ScoredEvent,
  startScoresAtZero,
  TENTHS,
  type UnscoredEvent,
} from './score-metrics.js';
import type { StageInterval } from './stages.js';

const SKIP_REASONS: readonly SkipReason[] = ['aborted', 'deadline', 'predicted'];
const MS_PER_SECOND = 1000;

/** A probe that is loaded, with the policy of requests that bring none. */
export interface ExpectedProbe {
  readonly name: string;
  readonly version: number;
  readonly manifest: Manifest;
  readonly policy: Policy;
}

/** What does not change while the service runs. */
export interface ServiceFacts {
  readonly version: string;
  readonly nodeVersion: string;
  /** Where inference was asked to run. */
  readonly device: string;
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

export interface Metrics {
  readonly registry: Registry;
  readonly engineObserver: EngineObserver;
  readonly feedbackObserver: FeedbackObserver;
  describe(facts: ServiceFacts): void;
  /** Reads the queue's depth and the readiness at each scrape. */
  watchEngine(engine: WatchedEngine): void;
  /** What `/metrics` answers; the label sets of these probes start at zero if they are new. */
  exposition(probes: readonly ExpectedProbe[]): Promise<string>;
  requestFinished(route: string, method: string, status: number): void;
  problem(code: ErrorCode): void;
  scored(event: ScoredEvent): void;
  unscored(event: UnscoredEvent): void;
  /** The stages of a request, to a probe if it got as far. */
  stages(probe: ServedProbe | undefined, intervals: readonly StageInterval[]): void;
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
    describe: (facts) => describeService(instruments, facts),
    watchEngine: (engine) => instruments.watchEngine(engine),
    exposition: (probes) => {
      for (const probe of probes) expectProbe(instruments, feedback, probe);
      return registry.metrics();
    },
    requestFinished: (route, method, status) => instruments.requests.inc({ route, method, status }),
    problem: (code) => instruments.problems.inc({ code }),
    scored: (event) => countScored(instruments, feedback, event),
    unscored: (event) => countUnscored(instruments, event),
    stages: (probe, intervals) => {
      const { model, version, provider } = probeLabels(probe);
      for (const { stage, from, to } of intervals)
        instruments.stageDuration.observe({ model, version, provider, stage }, (to - from) / MS_PER_SECOND);
    },
    waited: ({ name: model, version }, ms) => instruments.spent.inc({ model, version }, ms / MS_PER_SECOND),
    fileReloaded: (file, outcome) => {
      instruments.fileReloads.inc({ file, outcome });
      instruments.fileRefused.set({ file }, outcome === 'refused' ? 1 : 0);
    },
  };
}

function describeService(instruments: Instruments, facts: ServiceFacts): void {
  instruments.buildInfo.set({ version: facts.version, node: facts.nodeVersion }, 1);
  instruments.deviceInfo.set({ device: facts.device }, 1);
  instruments.queueSamplesLimit.set(facts.maxQueueSamples);
  instruments.queueBytesLimit.set(facts.maxQueueBytes);
}

function startAtZero(instruments: Instruments): void {
  const { problems, failedOpen, skippedEntries, fileReloads, fileRefused } = instruments;
  startScoresAtZero(instruments, probeLabels(undefined));
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
  { decisions, stepsSaved, stepsLost, spent, scoreTenths, expectScore }: Instruments,
  feedback: FeedbackMetrics,
  { name: model, version, manifest, policy }: ExpectedProbe,
): void {
  for (const counter of [stepsSaved, stepsLost, spent]) counter.inc({ model, version }, 0);
  for (const { step } of manifest.decision_points) {
    feedback.expect({ model, version, step, policy });
    expectScore({ model, version, step });
    for (const outcome of outcomesOf(policy))
      decisions.inc({ model, version, step, policy: policy.name, ...outcome }, 0);
  }
  for (const { step } of manifest.calibration) {
    for (let tenth = 1; tenth <= TENTHS; tenth += 1) scoreTenths.inc({ model, version, step, tenth }, 0);
  }
}
