/**
 * The Prometheus metrics of the service. All counting happens on the main thread, because prom-client keeps one registry
 * per thread; workers report through the engine's observer.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { collectDefaultMetrics, Registry } from 'prom-client';

import {
  OPERATOR_FILES,
  type OperatorFile,
  RELOAD_OUTCOMES,
  type ReloadOutcome,
} from '../config/operator-files.js';
import type { ServedProbe, SkipReason } from '../engine/types.js';
import { type ErrorCode, ERRORS, FAIL_OPEN_REASONS } from '../errors.js';
import { observeEngine } from './engine-metrics.js';
import { createFeedbackMetrics } from './feedback-metrics.js';
import { createInstruments, type EngineState, type Instruments } from './instruments.js';
import {
  countScored,
  countUnscored,
  type ExpectedProbe,
  probeLabels,
  type ScoredEvent,
  startDecisionsAtZero,
  startRequestsAtZero,
  type UnscoredEvent,
} from './score-metrics.js';
import { tenantCounter } from './tenant-metrics.js';
import type { StageInterval } from './tracing.js';

const SLICE_MS = 4;
const SKIP_REASONS: readonly SkipReason[] = ['aborted', 'deadline', 'predicted', 'displaced'];

/** Facts that do not change while the service runs. */
export interface ServiceInfo {
  readonly version: string;
  readonly nodeVersion: string;
  /** The device that the settings name. */
  readonly device: string;
  readonly maxQueueSamples: number;
  readonly maxQueueBytes: number;
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Makes the metrics of one service. Label sets that are known beforehand start at zero. */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const instruments = createInstruments(registry);
  const feedback = createFeedbackMetrics(registry);
  startAtZero(instruments);
  return {
    registry,
    engineObserver: observeEngine(instruments),
    feedbackObserver: feedback.observer,
    setServiceInfo: (info: ServiceInfo): void => {
      instruments.buildInfo.set({ version: info.version, node: info.nodeVersion }, 1);
      instruments.deviceInfo.set({ device: info.device }, 1);
      instruments.queueSamplesLimit.set(info.maxQueueSamples);
      instruments.queueBytesLimit.set(info.maxQueueBytes);
    },
    /** Reads the queue's depth and the readiness at each scrape. */
    watchEngine: (engine: EngineState): void => instruments.watchEngine(engine),
    /** The answer of `/metrics`. New label sets of these probes start at zero. */
    exposition: async (probes: readonly ExpectedProbe[]): Promise<string> => {
      for (const probe of probes) startDecisionsAtZero(instruments, feedback, probe);
      const texts: string[] = [];
      let from = performance.now();
      for (const { name } of registry.getMetricsAsArray()) {
        texts.push(await registry.getSingleMetricAsString(name));
        // Others take turns on the event loop, since all metrics together take long.
        if (performance.now() - from < SLICE_MS) continue;
        await nextTurn();
        from = performance.now();
      }
      return `${texts.join('\n\n')}\n`;
    },
    countRequest: (route: string, method: string, status: number): void =>
      instruments.requests.inc({ route, method, status }),
    countProblem: (code: ErrorCode): void => instruments.problems.inc({ code }),
    countScored: (event: ScoredEvent): void => countScored(instruments, feedback, event),
    countUnscored: (event: UnscoredEvent): void => countUnscored(instruments, event),
    countTenant: tenantCounter(instruments),
    /** @param probe undefined when the request failed before its probe was known. */
    observeStages: (probe: ServedProbe | undefined, intervals: readonly StageInterval[]): void => {
      const { model, version, provider } = probeLabels(probe);
      for (const { stage, from, to } of intervals)
        instruments.stageDuration.observe({ model, version, provider, stage }, (to - from) / 1000);
    },
    /** Adds the time that a caller waited for a probe, ms. */
    addWait: ({ name: model, version }: ServedProbe, ms: number): void =>
      instruments.waitSeconds.inc({ model, version }, ms / 1000),
    countFileReload: (file: OperatorFile, outcome: ReloadOutcome): void => {
      instruments.fileReloads.inc({ file, outcome });
      instruments.fileRefused.set({ file }, outcome === 'refused' ? 1 : 0);
    },
  };
}

function startAtZero(instruments: Instruments): void {
  const { problems, failedOpen, skippedEntries, fileReloads, fileRefused } = instruments;
  startRequestsAtZero(instruments, probeLabels(undefined));
  for (const code of Object.keys(ERRORS)) problems.inc({ code }, 0);
  for (const reason of FAIL_OPEN_REASONS) failedOpen.inc({ reason }, 0);
  for (const reason of SKIP_REASONS) skippedEntries.inc({ reason }, 0);
  for (const file of OPERATOR_FILES) {
    for (const outcome of RELOAD_OUTCOMES) fileReloads.inc({ file, outcome }, 0);
    fileRefused.set({ file }, 0);
  }
}
