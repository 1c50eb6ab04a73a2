/** Owns the name, help, labels and buckets of each metric but those of feedback. */
import type { Registry } from 'prom-client';

import type { Engine } from '../engine/types.js';
import { makersFor, startingAtZero } from './makers.js';

/** From a fifth of a millisecond to a second; 5, 10, 25 and 50 ms stand exactly, for objectives to rest on. */
const DURATION_BUCKETS = [
  0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1,
  0.25, 0.5, 1,
];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64];
const SCORE_BUCKETS = Array.from({ length: 21 }, (_, index) => index / 20);

/** What is read at each scrape. */
export type WatchedEngine = Pick<Engine, 'queueDepth' | 'readiness'>;

export type Instruments = ReturnType<typeof createInstruments>;

/** Registers the metrics. */
export function createInstruments(registry: Registry) {
  const { counter, gauge, histogram, gaugeOnScrape } = makersFor(registry);
  const probe = ['model', 'version', 'provider'] as const;
  const score = histogram(
    'score',
    'Scores, the metric’s range mapped to [0, 1]',
    SCORE_BUCKETS,
    'model',
    'version',
    'step',
  );
  return {
    requests: counter('requests_total', 'HTTP requests', 'route', 'method', 'status'),
    problems: counter('problems_total', 'Requests answered with a problem document, by its code', 'code'),
    scoreRequests: counter(
      'score_requests_total',
      'Requests to /score by what became of them; the reason is a code of the table of errors, or none',
      ...probe,
      'outcome',
      'reason',
    ),
    samples: counter(
      'samples_total',
      'The samples of these requests, as far as they could be counted',
      ...probe,
      'outcome',
      'reason',
    ),
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
    stageDuration: histogram(
      'stage_duration_seconds',
      'Time per stage of /score',
      DURATION_BUCKETS,
      ...probe,
      'stage',
    ),
    batchSize: histogram('batch_size', 'Samples per inference', BATCH_BUCKETS, ...probe),
    batchDuration: histogram('batch_duration_seconds', 'Time per inference', DURATION_BUCKETS, ...probe),
    score,
    expectScore: startingAtZero(score, 'model', 'version', 'step'),
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
    loadedProbes: counter('loaded_probes_total', 'Probes that were loaded', ...probe),
    refusedProbes: counter('refused_probes_total', 'Probes that were refused at load', 'model', 'version'),
    modelInfo: gauge('model_info', 'Probes that are loaded', 'model', 'version', 'sha256'),
    providerInfo: gauge('execution_provider_info', 'Where each probe really runs', ...probe),
    deviceInfo: gauge('device_info', 'Where inference was asked to run', 'device'),
    buildInfo: gauge('build_info', 'The version of this service, and of Node', 'version', 'node'),
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
    queueSamplesLimit: gauge('queue_samples_limit', 'Samples that may wait for inference'),
    queueBytesLimit: gauge('queue_bytes_limit', 'Bytes that may wait for inference'),
    watchEngine: (engine: WatchedEngine) => {
      gaugeOnScrape('queue_samples', 'Samples that wait for inference', () => engine.queueDepth().samples);
      gaugeOnScrape('queue_bytes', 'Bytes that wait for inference', () => engine.queueDepth().bytes);
      gaugeOnScrape('ready', '1 while requests can be scored', () => Number(engine.readiness().ready));
    },
  };
}
