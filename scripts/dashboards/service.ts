/** The dashboard Service: rate, errors, duration and saturation of /score, over all replicas and for each. */
import { STAGES } from '../../src/telemetry/stages.js';
import {
  BY_PROBE,
  BY_REPLICA,
  type DashboardSource,
  heatmap,
  lines,
  type Panel,
  stat,
  table,
} from './panels.js';

const REQUESTS = `diffusion_probe_score_requests_total{${BY_PROBE}}`;
/** Without the mistakes of callers and without clients that disconnected. */
const VALID = `diffusion_probe_score_requests_total{outcome!~"refused|gone",${BY_PROBE}}`;
const FAILED = `diffusion_probe_score_requests_total{outcome=~"failed|failed_open",${BY_PROBE}}`;
const durations = (stage: string): string =>
  `diffusion_probe_stage_duration_seconds_bucket{stage="${stage}",${BY_PROBE}}`;
const quantile = (q: number, stage: string): string =>
  `histogram_quantile(${q}, sum by (le) (rate(${durations(stage)}[$__rate_interval])))`;

const OUTCOME_COLOURS = {
  scored: 'green',
  failed_open: 'orange',
  failed: 'red',
  refused: 'yellow',
  gone: 'purple',
};

const STAGE_MEANINGS: Readonly<Record<(typeof STAGES)[number], string>> = {
  receive: 'From the first byte of a request to the last of its body: mostly the caller and the network.',
  decode: 'Reading the tensors and checking them against the probe.',
  queue: 'Waiting for a free worker. This grows first when there is too much traffic: add replicas.',
  inference: 'Running the probe, its batch assembled and its values checked.',
  decision: 'Turning scores into decisions and receipts.',
  total: 'From the first byte of a request to its answer.',
};

const headline: Panel[] = [
  {
    ...stat(4, 4),
    title: 'Replicas ready',
    description: 'Replicas that can score now. /readyz of the others says why they cannot.',
    unit: 'short',
    queries: { ready: `sum(diffusion_probe_ready{${BY_REPLICA}}) or vector(0)` },
  },
  {
    ...stat(5, 4),
    title: 'Requests per second',
    description: 'Requests to /score, whatever became of them.',
    unit: 'reqps',
    queries: { requests: `sum(rate(${REQUESTS}[$__rate_interval])) or vector(0)` },
  },
  {
    ...stat(5, 4),
    title: 'Requests in this time range',
    description: 'Requests to /score over the time range shown, whatever became of them.',
    unit: 'short',
    queries: { requests: `sum(increase(${REQUESTS}[$__range])) or vector(0)` },
  },
  {
    ...stat(5, 4),
    title: 'Answered with scores',
    description:
      'Share of valid requests that got scores, over the time range shown. The rest failed, or failed open: everything kept.',
    unit: 'percentunit',
    queries: {
      scored: `1 - (sum(increase(${FAILED}[$__range])) or vector(0)) / clamp_min(sum(increase(${VALID}[$__range])) or vector(0), 1)`,
    },
  },
  {
    ...stat(5, 4),
    title: 'Answered within 50 ms',
    description: 'Share of requests whose answer took at most 50 ms: the objective is 99%.',
    unit: 'percentunit',
    queries: {
      'in time': `sum(increase(diffusion_probe_stage_duration_seconds_bucket{stage="total",le="0.05",${BY_PROBE}}[$__range])) / sum(increase(diffusion_probe_stage_duration_seconds_count{stage="total",${BY_PROBE}}[$__range]))`,
    },
  },
];

const traffic: Panel[] = [
  {
    ...lines(12, 8),
    title: 'Requests by outcome',
    description:
      'scored: answered. failed_open: the service could not score in time and said to keep everything. failed: the same without a deadline, an error. refused: a mistake of the caller. gone: the client left.',
    unit: 'reqps',
    queries: { '{{outcome}}': `sum by (outcome) (rate(${REQUESTS}[$__rate_interval]))` },
    colours: OUTCOME_COLOURS,
  },
  {
    ...lines(12, 8),
    title: 'Samples by outcome',
    description: 'Samples, that is images being generated, in those requests.',
    unit: 'suffix: samples/s',
    colours: OUTCOME_COLOURS,
    queries: {
      '{{outcome}}': `sum by (outcome) (rate(diffusion_probe_samples_total{${BY_PROBE}}[$__rate_interval]))`,
    },
  },
  {
    ...lines(8, 8),
    title: 'Failed open by reason',
    description:
      'Requests answered with "keep everything": they cost compute and no image. overloaded: add replicas. deadline: callers wait too briefly or the queue is long. unready, internal: read the log.',
    unit: 'reqps',
    queries: {
      '{{reason}}': `sum by (reason) (rate(diffusion_probe_failed_open_total{${BY_REPLICA}}[$__rate_interval]))`,
    },
  },
  {
    ...lines(8, 8),
    title: 'Problems by code',
    description: 'Requests to any address answered with a problem document. The README lists the codes.',
    unit: 'reqps',
    queries: {
      '{{code}}': `(sum by (code) (rate(diffusion_probe_problems_total{${BY_REPLICA}}[$__rate_interval])) > 0) or label_replace(vector(0), "code", "none", "", "")`,
    },
  },
  {
    ...lines(8, 8),
    title: 'Left the queue without inference',
    description:
      'Requests that were skipped: their client had gone (aborted), their deadline had passed (deadline), or it would have before there was a score (predicted).',
    unit: 'reqps',
    queries: {
      '{{reason}}': `sum by (reason) (rate(diffusion_probe_skipped_entries_total{${BY_REPLICA}}[$__rate_interval]))`,
    },
  },
];

const latency: Panel[] = [
  {
    ...lines(12, 8),
    title: 'Time to answer',
    description: 'Half, nine tenths and 99 in 100 of the requests were answered within this time.',
    unit: 's',
    queries: Object.fromEntries([0.5, 0.9, 0.99].map((q) => [`${q * 100}%`, quantile(q, 'total')])),
  },
  {
    ...lines(12, 8),
    title: 'Slowest hundredth by stage',
    description: '99 in 100 requests spent at most this long in each stage. Stages follow one another.',
    unit: 's',
    queries: Object.fromEntries(
      STAGES.filter((stage) => stage !== 'total').map((stage) => [stage, quantile(0.99, stage)]),
    ),
  },
  ...STAGES.map((stage): Panel => ({
    ...heatmap(8, 7),
    title: `Time in ${stage}`,
    description: `${STAGE_MEANINGS[stage]} The brighter a cell, the more requests took that long.`,
    unit: 's',
    queries: { '{{le}}': `sum by (le) (increase(${durations(stage)}[$__rate_interval]))` },
  })),
];

const saturation: Panel[] = [
  {
    ...lines(8, 7),
    title: 'Queue in use',
    description:
      'How full the queue of each replica is, in samples or bytes, whichever is fuller. At 100% requests fail open as overloaded.',
    unit: 'percentunit',
    queries: {
      '{{instance}}': `max by (instance) (label_replace(diffusion_probe_queue_samples{${BY_REPLICA}} / diffusion_probe_queue_samples_limit, "of", "samples", "", "") or label_replace(diffusion_probe_queue_bytes{${BY_REPLICA}} / diffusion_probe_queue_bytes_limit, "of", "bytes", "", ""))`,
    },
  },
  {
    ...lines(8, 7),
    title: 'Samples waiting',
    description: 'Samples in the queue of each replica at the moment of the scrape.',
    unit: 'short',
    queries: { '{{instance}}': `sum by (instance) (diffusion_probe_queue_samples{${BY_REPLICA}})` },
  },
  {
    ...lines(8, 7),
    title: 'Samples per inference',
    description: 'How many samples share one inference. It grows with the load, up to MAX_BATCH_SAMPLES.',
    unit: 'short',
    empty: 'No request has been scored yet',
    queries: {
      '{{model}}@{{version}}': `sum by (model, version) (rate(diffusion_probe_batch_size_sum{${BY_PROBE}}[$__rate_interval])) / (sum by (model, version) (rate(diffusion_probe_batch_size_count{${BY_PROBE}}[$__rate_interval])) > 0)`,
    },
  },
];

const replicas: Panel[] = [
  {
    ...table(24, 7),
    title: 'Replicas',
    description: 'Each replica now: its share of the traffic and how it fares.',
    unit: 'short',
    queries: {
      'Requests per second': `sum by (instance) (rate(diffusion_probe_score_requests_total{${BY_PROBE}}[$__rate_interval]))`,
      'Time to answer, 99%': `histogram_quantile(0.99, sum by (instance, le) (rate(${durations('total')}[$__rate_interval])))`,
      Ready: `max by (instance) (diffusion_probe_ready{${BY_REPLICA}})`,
      'Up for': `time() - max by (instance) (process_start_time_seconds{${BY_REPLICA}} and diffusion_probe_ready)`,
    },
    columnUnits: { 'Requests per second': 'reqps', 'Time to answer, 99%': 's', 'Up for': 's' },
  },
  {
    ...table(12, 6),
    title: 'Build of each replica',
    description: 'The version of the service and of Node that each replica runs.',
    unit: 'short',
    queries: { Running: `max by (instance, version, node) (diffusion_probe_build_info{${BY_REPLICA}})` },
  },
  {
    ...lines(12, 6),
    title: 'Operator files refused',
    description:
      '1 while a changed file, such as the policies, cannot be used and what held before still holds.',
    unit: 'short',
    queries: {
      '{{file}} at {{instance}}': `max by (instance, file) (diffusion_probe_file_refused{${BY_REPLICA}})`,
    },
  },
  {
    ...lines(6, 7),
    title: 'Workers replaced',
    description: 'Inference threads that died and were replaced, within the last hour. It should be 0.',
    unit: 'short',
    queries: {
      '{{instance}}': `sum by (instance) (increase(diffusion_probe_worker_restarts_total{${BY_REPLICA}}[1h]))`,
    },
  },
  {
    ...lines(6, 7),
    title: 'CPU in use',
    description: 'Processor cores that each replica uses.',
    unit: 'short',
    queries: {
      '{{instance}}': `sum by (instance) (rate(process_cpu_seconds_total{${BY_REPLICA}}[$__rate_interval]) and on (instance) diffusion_probe_ready)`,
    },
  },
  {
    ...lines(6, 7),
    title: 'Memory in use',
    description: 'Resident memory of each replica: what a container’s limit counts.',
    unit: 'bytes',
    queries: {
      '{{instance}}': `sum by (instance) (process_resident_memory_bytes{${BY_REPLICA}} and on (instance) diffusion_probe_ready)`,
    },
  },
  {
    ...lines(6, 7),
    title: 'Event loop lag',
    description:
      'How late the HTTP thread is with its work, in 99 of 100 turns. Above some 20 ms it holds up answers.',
    unit: 's',
    queries: { '{{instance}}': `max by (instance) (nodejs_eventloop_lag_p99_seconds{${BY_REPLICA}})` },
  },
];

export const service: DashboardSource = {
  title: 'Service',
  sections: [
    { title: 'At a glance', panels: headline },
    { title: 'Traffic and errors', panels: traffic },
    { title: 'Latency', panels: latency },
    { title: 'Saturation', panels: saturation },
    { title: 'Replicas', panels: replicas },
  ],
};
