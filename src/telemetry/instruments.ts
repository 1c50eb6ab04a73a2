/** The name, help, labels and buckets of every metric except those of feedback. */
import type { Registry } from 'prom-client';

import type { Engine } from '../engine/types.js';
import { bucketsUpTo, instrumentFactory } from './instrument-factory.js';

/** Seconds. 5, 10, 25 and 50 ms are exact bounds because latency objectives use them. */
const DURATION_BUCKETS = [
  0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10,
];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64];
const SCORE_BUCKETS = Array.from({ length: 21 }, (_, index) => index / 20);

/** How large the values of the histograms may become. */
export interface HistogramLimits {
  readonly requestTimeoutMs: number;
  readonly inferenceTimeoutMs: number;
  /** Undefined when the size of batches is measured. */
  readonly maxBatchSamples?: number | undefined;
  readonly receiptLifetimeSeconds: number;
}

/** What is read at each scrape. */
export type EngineState = Pick<Engine, 'queueDepth' | 'readiness'>;

export type Instruments = ReturnType<typeof createInstruments>;

/** Registers the metrics. */
export function createInstruments(registry: Registry, limits: Partial<HistogramLimits>) {
  const { counter, lateCounter, gauge, histogram, gaugeOnScrape } = instrumentFactory(registry);
  const version = ['model', 'version'] as const;
  const point = [...version, 'step'] as const;
  const probe = [...version, 'provider'] as const;
  const result = [...probe, 'outcome', 'reason'] as const;
  const decision = [...point, 'policy', 'decision', 'reason', 'override'] as const;
  const { requestTimeoutMs = 0, inferenceTimeoutMs = 0, maxBatchSamples = 0 } = limits;
  const batchBuckets = bucketsUpTo(DURATION_BUCKETS, inferenceTimeoutMs / 1000);
  const stageBuckets = bucketsUpTo(DURATION_BUCKETS, Math.max(requestTimeoutMs, inferenceTimeoutMs) / 1000);
  return {
    requests: counter('requests_total', 'HTTP requests', 'route', 'method', 'status'),
    problems: counter('problems_total', 'Requests answered with a problem document, by error code', 'code'),
    scoreRequests: counter(
      'score_requests_total',
      'Requests to /score by outcome; the reason is an error code or none',
      ...result,
    ),
    samples: counter('samples_total', 'Samples in requests to /score, when their number is known', ...result),
    decisions: counter('decisions_total', 'Decisions on samples', ...decision),
    conditions: counter(
      'conditions_total',
      'Scored requests by how their conditions compare with the probe’s',
      ...version,
      'state',
    ),
    foreignConditions: counter(
      'foreign_conditions_total',
      'Scored requests whose conditions differ from the probe’s, by the member that differs',
      ...version,
      'field',
    ),
    failedOpen: counter('failed_open_total', 'Requests answered with "keep everything"', 'reason'),
    tenantRequests: lateCounter(
      'tenant_requests_total',
      'Requests to /score by caller and outcome; callers beyond the first 100 are other',
      'tenant',
      'outcome',
    ),
    tenantSamples: lateCounter('tenant_samples_total', 'Samples that were scored, by caller', 'tenant'),
    tenantLimited: lateCounter(
      'tenant_limited_total',
      'Requests without scores because their caller’s share of the queue was used up while others waited',
      'tenant',
    ),
    stepsSaved: counter(
      'steps_saved_total',
      'Denoising steps that were not run because their sample was dropped',
      ...version,
    ),
    stepsLost: counter(
      'steps_lost_total',
      'Denoising steps that had been run when their sample was dropped',
      ...version,
    ),
    waitSeconds: counter('spent_seconds_total', 'Time that callers waited for /score', ...version),
    stageDuration: histogram(
      'stage_duration_seconds',
      'Time per stage of a request to /score',
      stageBuckets,
      ...probe,
      'stage',
    ),
    batchSize: histogram(
      'batch_size',
      'Samples per batch',
      bucketsUpTo(BATCH_BUCKETS, maxBatchSamples),
      ...probe,
    ),
    batchDuration: histogram('batch_duration_seconds', 'Time of inference per batch', batchBuckets, ...probe),
    score: histogram('score', 'Scores, the metric’s range mapped to [0, 1]', SCORE_BUCKETS, ...point),
    scoreTenths: counter(
      'score_tenths_total',
      'Samples by the tenth of the calibration scores that their score falls into, 1 to 10',
      ...point,
      'tenth',
    ),
    skippedEntries: counter(
      'skipped_entries_total',
      'Requests that left the queue without inference',
      'reason',
    ),
    workerRestarts: counter('worker_restarts_total', 'Inference threads that were replaced'),
    loadedProbes: counter('loaded_probes_total', 'Probes that were loaded', ...probe),
    refusedProbes: lateCounter('refused_probes_total', 'Probes that were refused at load', ...version),
    modelInfo: gauge('model_info', 'Probes that are loaded', ...version, 'sha256'),
    providerInfo: gauge('execution_provider_info', 'The execution provider in use for each probe', ...probe),
    deviceInfo: gauge('device_info', 'The device that the settings name', 'device'),
    buildInfo: gauge('build_info', 'The versions of this service and of Node.js', 'version', 'node'),
    fileReloads: counter(
      'file_reloads_total',
      'Changes seen in a file that the operator edits, by outcome',
      'file',
      'outcome',
    ),
    fileRefused: gauge(
      'file_refused',
      '1 while a file that the operator edits is refused and its last valid content applies',
      'file',
    ),
    queueSamplesLimit: gauge('queue_samples_limit', 'Largest number of samples in the queue'),
    queueBytesLimit: gauge('queue_bytes_limit', 'Largest number of bytes in the queue'),
    watchEngine: (engine: EngineState) => {
      gaugeOnScrape('queue_samples', 'Samples in the queue', () => engine.queueDepth().samples);
      gaugeOnScrape('queue_bytes', 'Bytes in the queue', () => engine.queueDepth().bytes);
      gaugeOnScrape('ready', '1 while requests can be scored', () => Number(engine.readiness().ready));
    },
  };
}
