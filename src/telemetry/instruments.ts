/** Owns the name, help, labels and buckets of each metric but those of feedback. */
import type { Registry } from 'prom-client';

import type { QueueDepth } from '../engine/types.js';
import { makersFor } from './makers.js';

/** From a fifth of a millisecond to a second; 5, 10, 25 and 50 ms stand exactly, for objectives to rest on. */
const DURATION_BUCKETS = [
  0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1,
  0.25, 0.5, 1,
];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64];
const SCORE_BUCKETS = Array.from({ length: 21 }, (_, index) => index / 20);

export type Instruments = ReturnType<typeof createInstruments>;

/** Registers the metrics. */
export function createInstruments(registry: Registry) {
  const { counter, gauge, histogram, gaugeOnScrape } = makersFor(registry);
  return {
    requests: counter('requests_total', 'HTTP requests', 'route', 'method', 'status'),
    problems: counter('problems_total', 'Requests answered with a problem document, by its code', 'code'),
    samples: counter('samples_total', 'Samples scored', 'model', 'version'),
    decisions: counter(
      'decisions_total',
      'Decisions on samples',
      'model',
      'version',
      'step',
      'policy',
      'decision',
      'reason',
      'override',
    ),
    failedOpen: counter('failed_open_total', 'Requests answered with "keep everything"', 'reason'),
    stepsSaved: counter(
      'steps_saved_total',
      'Denoising steps that dropped samples do not need',
      'model',
      'version',
    ),
    stepsLost: counter(
      'steps_lost_total',
      'Denoising steps that dropped samples had taken already',
      'model',
      'version',
    ),
    spent: counter(
      'spent_seconds_total',
      'Time that backends waited for the answers of /score',
      'model',
      'version',
    ),
    stageDuration: histogram('stage_duration_seconds', 'Time per stage of /score', DURATION_BUCKETS, 'stage'),
    batchSize: histogram('batch_size', 'Samples per inference', BATCH_BUCKETS, 'model', 'version'),
    batchDuration: histogram(
      'batch_duration_seconds',
      'Time per inference',
      DURATION_BUCKETS,
      'model',
      'version',
    ),
    score: histogram(
      'score',
      'Scores, the metric’s range mapped to [0, 1]',
      SCORE_BUCKETS,
      'model',
      'version',
      'step',
    ),
    scoreTenths: counter(
      'score_tenths_total',
      'Samples by the tenth of the calibration scores that theirs falls into, 1 to 10',
      'model',
      'version',
      'step',
      'tenth',
    ),
    skippedEntries: counter(
      'skipped_entries_total',
      'Requests that left the queue without inference',
      'reason',
    ),
    workerRestarts: counter('worker_restarts_total', 'Inference threads that were replaced'),
    refusedProbes: counter('refused_probes_total', 'Probes that were refused at load', 'model', 'version'),
    modelInfo: gauge('model_info', 'Probes that are loaded', 'model', 'version', 'sha256'),
    providerInfo: gauge(
      'execution_provider_info',
      'Where each probe really runs',
      'model',
      'version',
      'provider',
    ),
    fileReloads: counter(
      'file_reloads_total',
      'Changes seen in a file that the operator edits, by what became of them',
      'file',
      'outcome',
    ),
    fileRefused: gauge(
      'file_refused',
      '1 while such a file cannot be used and what held before still holds',
      'file',
    ),
    watchQueue: (depth: () => QueueDepth) => {
      gaugeOnScrape('queue_samples', 'Samples that wait for inference', () => depth().samples);
      gaugeOnScrape('queue_bytes', 'Bytes that wait for inference', () => depth().bytes);
    },
  };
}
