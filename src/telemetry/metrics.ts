/**
 * The Prometheus metrics of the service. All counting happens on the main thread, because prom-client keeps one registry
 * per thread; workers report through the engine's observer.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { collectDefaultMetrics, Registry } from 'prom-client';

import {
  OPERATOR_FILES,
  type OperatorFile,
  type OperatorFiles,
  RELOAD_OUTCOMES,
  type ReloadOutcome,
} from '../config/operator-files.js';
import type { ServedProbe, SkipReason } from '../engine/types.js';
import type { ProbeVersion } from '../probe/locations.js';
import { type ErrorCode, ERRORS, FAIL_OPEN_REASONS } from '../errors.js';
import { observeEngine } from './engine-metrics.js';
import { createFeedbackMetrics } from './feedback-metrics.js';
import {
  createInstruments,
  type EngineState,
  type HistogramLimits,
  type Instruments,
} from './instruments.js';
import {
  countScored,
  countUnscored,
  type ExpectedProbe,
  policyStarter,
  probeLabels,
  type ScoredEvent,
  startDecisionsAtZero,
  startRequestsAtZero,
  type UnscoredEvent,
} from './score-metrics.js';
import { readStatistics } from './probe-statistics.js';
import { tenantCounter } from './tenant-metrics.js';
import type { StageInterval } from './tracing.js';

const SLICE_MS = 4;
/** Callers can send any method that Node knows; the others share one label. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const OTHER_METHOD = 'other';
const UNKNOWN_ROUTE = 'unknown';
/** Any route can answer with these: no key, the client has left, an error of the service. */
const COMMON_STATUSES = ['401', '499', '500'];
const UNKNOWN_STATUSES = ['400', '404', '405', '417'];
const ASSET_STATUSES = ['200', '302', '304', '400', '404', '415', '417'];
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
export function createMetrics(limits: Partial<HistogramLimits> = {}) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const instruments = createInstruments(registry, limits);
  const feedback = createFeedbackMetrics(registry, limits.receiptLifetimeSeconds);
  const startPolicy = policyStarter(instruments, feedback);
  const tenants = tenantCounter(instruments);
  let apiKeys: OperatorFiles['apiKeys'] = () => undefined;
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
    /** The operator's own alphas and API keys always have their own labels, whatever callers bring. */
    watchOperatorFiles: (files: Pick<OperatorFiles, 'policies' | 'apiKeys'>): void => {
      feedback.watchPolicies(files.policies);
      apiKeys = files.apiKeys;
    },
    /** The answer of `/metrics`. New label sets of these probes start at zero. */
    exposition: async (probes: readonly ExpectedProbe[]): Promise<string> => {
      for (const probe of probes) startDecisionsAtZero(instruments, startPolicy, probe);
      for (const id of apiKeys()?.ids() ?? []) tenants.startKey(id);
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
    /** Starts the counters of a route at zero. @param statuses the ones that its schema lists; none for an asset. */
    expectRoute: (route: string, methods: readonly string[], statuses: readonly string[]): void => {
      const expected = new Set([...(statuses.length > 0 ? statuses : ASSET_STATUSES), ...COMMON_STATUSES]);
      for (const method of methods) {
        for (const status of expected) instruments.requests.inc({ route, method, status }, 0);
      }
    },
    countRequest: (route: string, method: string, status: number): void =>
      instruments.requests.inc({
        route,
        method: METHODS.includes(method) ? method : OTHER_METHOD,
        status: String(status),
      }),
    countProblem: (code: ErrorCode): void => instruments.problems.inc({ code }),
    countScored: (event: ScoredEvent): void => countScored(instruments, startPolicy, event),
    countUnscored: (event: UnscoredEvent): void => countUnscored(instruments, event),
    countTenant: tenants.count,
    /** @param probe undefined when the request failed before its probe was known. */
    observeStages: (probe: ServedProbe | undefined, intervals: readonly StageInterval[]): void => {
      const { model, version, provider } = probeLabels(probe);
      for (const { stage, from, to } of intervals)
        instruments.stageDuration.observe({ model, version, provider, stage }, (to - from) / 1000);
    },
    /** Adds the time that a caller waited for a probe, ms. */
    addWait: ({ name: model, version }: ServedProbe, ms: number): void =>
      instruments.waitSeconds.inc({ model, version }, ms / 1000),
    /** What has been counted of a probe since the start. */
    statistics: (probe: ProbeVersion) => readStatistics(instruments, probe),
    countFileReload: (file: OperatorFile, outcome: ReloadOutcome): void => {
      instruments.fileReloads.inc({ file, outcome });
      instruments.fileRefused.set({ file }, outcome === 'refused' ? 1 : 0);
    },
  };
}

function startAtZero(instruments: Instruments): void {
  const { requests, problems, failedOpen, skippedEntries, fileReloads, fileRefused } = instruments;
  startRequestsAtZero(instruments, probeLabels(undefined));
  for (const method of [...METHODS, OTHER_METHOD]) {
    for (const status of [...UNKNOWN_STATUSES, ...COMMON_STATUSES])
      requests.inc({ route: UNKNOWN_ROUTE, method, status }, 0);
  }
  for (const code of Object.keys(ERRORS)) problems.inc({ code }, 0);
  for (const reason of FAIL_OPEN_REASONS) failedOpen.inc({ reason }, 0);
  for (const reason of SKIP_REASONS) skippedEntries.inc({ reason }, 0);
  for (const file of OPERATOR_FILES) {
    for (const outcome of RELOAD_OUTCOMES) fileReloads.inc({ file, outcome }, 0);
    fileRefused.set({ file }, 0);
  }
}
