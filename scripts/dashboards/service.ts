/** Owns the dashboard Service: rate, errors, duration and saturation of /score, over all replicas and one by one. */
import { STAGES } from '../../src/telemetry/tracing.js';
import type { Panel, Section } from './panels.js';
import { BY_PROBE, BY_REPLICA } from './variables.js';

const REQUESTS = `diffusion_probe_score_requests_total{${BY_PROBE}}`;
/** What deserved an answer: neither the caller's mistakes nor clients that left. */
const VALID = `diffusion_probe_score_requests_total{outcome!~"refused|gone",${BY_PROBE}}`;
const FAILED = `diffusion_probe_score_requests_total{outcome=~"failed|failed_open",${BY_PROBE}}`;
const durations = (stage: string): string =>
  `diffusion_probe_stage_duration_seconds_bucket{stage="${stage}",${BY_PROBE}}`;
const quantile = (q: number, stage: string): string =>
  `histogram_quantile(${q}, sum by (le) (rate(${durations(stage)}[$__rate_interval])))`;

/** Green is what should be. */
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
    title: 'Replicas ready',
    description: 'Replicas that can score now. /readyz of the others says why they cannot.',
    unit: 'short',
    kind: 'stat',
    queries: [{ expr: `sum(diffusion_probe_ready{${BY_REPLICA}}) or vector(0)`, legend: 'ready' }],
    width: 4,
    height: 4,
  },
  {
    title: 'Requests per second',
    description: 'Requests to /score, whatever became of them.',
    unit: 'reqps',
    kind: 'stat',
    queries: [{ expr: `sum(rate(${REQUESTS}[$__rate_interval])) or vector(0)`, legend: 'requests' }],
    width: 5,
    height: 4,
  },
  {
    title: 'Requests in this time range',
    description: 'Requests to /score over the time range shown, whatever became of them.',
    unit: 'short',
    kind: 'stat',
    queries: [{ expr: `sum(increase(${REQUESTS}[$__range])) or vector(0)`, legend: 'requests' }],
    width: 5,
    height: 4,
  },
  {
    title: 'Answered with scores',
    description:
      'Share of valid requests that got scores, over the time range shown. The rest failed, or failed open: everything kept.',
    unit: 'percentunit',
    kind: 'stat',
    queries: [
      {
        expr: `1 - (sum(increase(${FAILED}[$__range])) or vector(0)) / clamp_min(sum(increase(${VALID}[$__range])) or vector(0), 1)`,
        legend: 'scored',
      },
    ],
    width: 5,
    height: 4,
  },
  {
    title: 'Answered within 50 ms',
    description: 'Share of requests whose answer took at most 50 ms: the objective is 99%.',
    unit: 'percentunit',
    kind: 'stat',
    queries: [
      {
        expr: `sum(increase(diffusion_probe_stage_duration_seconds_bucket{stage="total",le="0.05",${BY_PROBE}}[$__range])) / sum(increase(diffusion_probe_stage_duration_seconds_count{stage="total",${BY_PROBE}}[$__range]))`,
        legend: 'in time',
      },
    ],
    width: 5,
    height: 4,
  },
];

const traffic: Panel[] = [
  {
    title: 'Requests by outcome',
    description:
      'scored: answered. failed_open: the service could not score in time and said to keep everything. failed: the same without a deadline, an error. refused: a mistake of the caller. gone: the client left.',
    unit: 'reqps',
    kind: 'lines',
    queries: [{ expr: `sum by (outcome) (rate(${REQUESTS}[$__rate_interval]))`, legend: '{{outcome}}' }],
    colours: OUTCOME_COLOURS,
    width: 12,
    height: 8,
  },
  {
    title: 'Samples by outcome',
    description: 'Samples, that is images being generated, in those requests.',
    unit: 'suffix: samples/s',
    colours: OUTCOME_COLOURS,
    kind: 'lines',
    queries: [
      {
        expr: `sum by (outcome) (rate(diffusion_probe_samples_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: '{{outcome}}',
      },
    ],
    width: 12,
    height: 8,
  },
  {
    title: 'Failed open by reason',
    description:
      'Requests answered with "keep everything": they cost compute and no image. overloaded: add replicas. deadline: callers wait too briefly or the queue is long. unready, internal: read the log.',
    unit: 'reqps',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (reason) (rate(diffusion_probe_failed_open_total{${BY_REPLICA}}[$__rate_interval]))`,
        legend: '{{reason}}',
      },
    ],
    width: 8,
    height: 8,
  },
  {
    title: 'Problems by code',
    description: 'Requests to any address answered with a problem document. The README lists the codes.',
    unit: 'reqps',
    kind: 'lines',
    queries: [
      {
        expr: `(sum by (code) (rate(diffusion_probe_problems_total{${BY_REPLICA}}[$__rate_interval])) > 0) or label_replace(vector(0), "code", "none", "", "")`,
        legend: '{{code}}',
      },
    ],
    width: 8,
    height: 8,
  },
  {
    title: 'Left the queue without inference',
    description:
      'Requests that were skipped: their client had gone (aborted), their deadline had passed (deadline), or it would have before there was a score (predicted).',
    unit: 'reqps',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (reason) (rate(diffusion_probe_skipped_entries_total{${BY_REPLICA}}[$__rate_interval]))`,
        legend: '{{reason}}',
      },
    ],
    width: 8,
    height: 8,
  },
];

const latency: Panel[] = [
  {
    title: 'Time to answer',
    description: 'Half, nine tenths and 99 in 100 of the requests were answered within this time.',
    unit: 's',
    kind: 'lines',
    queries: [0.5, 0.9, 0.99].map((q) => ({ expr: quantile(q, 'total'), legend: `${q * 100}%` })),
    width: 12,
    height: 8,
  },
  {
    title: 'Slowest hundredth by stage',
    description: '99 in 100 requests spent at most this long in each stage. Stages follow one another.',
    unit: 's',
    kind: 'lines',
    queries: STAGES.filter((stage) => stage !== 'total').map((stage) => ({
      expr: quantile(0.99, stage),
      legend: stage,
    })),
    width: 12,
    height: 8,
  },
  ...STAGES.map((stage): Panel => ({
    title: `Time in ${stage}`,
    description: `${STAGE_MEANINGS[stage]} The brighter a cell, the more requests took that long.`,
    unit: 's',
    kind: 'heatmap',
    queries: [{ expr: `sum by (le) (increase(${durations(stage)}[$__rate_interval]))`, legend: '{{le}}' }],
    width: 8,
    height: 7,
  })),
];

const saturation: Panel[] = [
  {
    title: 'Queue in use',
    description:
      'How full the queue of each replica is, in samples or bytes, whichever is fuller. At 100% requests fail open as overloaded.',
    unit: 'percentunit',
    kind: 'lines',
    queries: [
      {
        expr: `max by (instance) (label_replace(diffusion_probe_queue_samples{${BY_REPLICA}} / diffusion_probe_queue_samples_limit, "of", "samples", "", "") or label_replace(diffusion_probe_queue_bytes{${BY_REPLICA}} / diffusion_probe_queue_bytes_limit, "of", "bytes", "", ""))`,
        legend: '{{instance}}',
      },
    ],
    width: 8,
    height: 7,
  },
  {
    title: 'Samples waiting',
    description: 'Samples in the queue of each replica at the moment of the scrape.',
    unit: 'short',
    kind: 'lines',
    queries: [
      { expr: `sum by (instance) (diffusion_probe_queue_samples{${BY_REPLICA}})`, legend: '{{instance}}' },
    ],
    width: 8,
    height: 7,
  },
  {
    title: 'Samples per inference',
    description: 'How many samples share one inference. It grows with the load, up to MAX_BATCH_SAMPLES.',
    unit: 'short',
    empty: 'No request has been scored yet',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (model, version) (rate(diffusion_probe_batch_size_sum{${BY_PROBE}}[$__rate_interval])) / (sum by (model, version) (rate(diffusion_probe_batch_size_count{${BY_PROBE}}[$__rate_interval])) > 0)`,
        legend: '{{model}}@{{version}}',
      },
    ],
    width: 8,
    height: 7,
  },
];

const replicas: Panel[] = [
  {
    title: 'Replicas',
    description: 'Each replica now: its share of the traffic and how it fares.',
    unit: 'short',
    kind: 'table',
    queries: [
      {
        expr: `sum by (instance) (rate(diffusion_probe_score_requests_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: 'Requests per second',
      },
      {
        expr: `histogram_quantile(0.99, sum by (instance, le) (rate(${durations('total')}[$__rate_interval])))`,
        legend: 'Time to answer, 99%',
      },
      { expr: `max by (instance) (diffusion_probe_ready{${BY_REPLICA}})`, legend: 'Ready' },
      {
        expr: `time() - max by (instance) (process_start_time_seconds{${BY_REPLICA}} and diffusion_probe_ready)`,
        legend: 'Up for',
      },
    ],
    columnUnits: { 'Requests per second': 'reqps', 'Time to answer, 99%': 's', 'Up for': 's' },
    width: 24,
    height: 7,
  },
  {
    title: 'Build of each replica',
    description: 'The version of the service and of Node that each replica runs.',
    unit: 'short',
    kind: 'table',
    queries: [
      {
        expr: `max by (instance, version, node) (diffusion_probe_build_info{${BY_REPLICA}})`,
        legend: 'Running',
      },
    ],
    width: 12,
    height: 6,
  },
  {
    title: 'Operator files refused',
    description:
      '1 while a changed file, such as the policies, cannot be used and what held before still holds.',
    unit: 'short',
    kind: 'lines',
    queries: [
      {
        expr: `max by (instance, file) (diffusion_probe_file_refused{${BY_REPLICA}})`,
        legend: '{{file}} at {{instance}}',
      },
    ],
    width: 12,
    height: 6,
  },
  {
    title: 'Workers replaced',
    description: 'Inference threads that died and were replaced, within the last hour. It should be 0.',
    unit: 'short',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (instance) (increase(diffusion_probe_worker_restarts_total{${BY_REPLICA}}[1h]))`,
        legend: '{{instance}}',
      },
    ],
    width: 6,
    height: 7,
  },
  {
    title: 'CPU in use',
    description: 'Processor cores that each replica uses.',
    unit: 'short',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (instance) (rate(process_cpu_seconds_total{${BY_REPLICA}}[$__rate_interval]) and on (instance) diffusion_probe_ready)`,
        legend: '{{instance}}',
      },
    ],
    width: 6,
    height: 7,
  },
  {
    title: 'Memory in use',
    description: 'Resident memory of each replica: what a container’s limit counts.',
    unit: 'bytes',
    kind: 'lines',
    queries: [
      {
        expr: `sum by (instance) (process_resident_memory_bytes{${BY_REPLICA}} and on (instance) diffusion_probe_ready)`,
        legend: '{{instance}}',
      },
    ],
    width: 6,
    height: 7,
  },
  {
    title: 'Event loop lag',
    description:
      'How late the HTTP thread is with its work, in 99 of 100 turns. Above some 20 ms it holds up answers.',
    unit: 's',
    kind: 'lines',
    queries: [
      {
        expr: `max by (instance) (nodejs_eventloop_lag_p99_seconds{${BY_REPLICA}})`,
        legend: '{{instance}}',
      },
    ],
    width: 6,
    height: 7,
  },
];

export const service: readonly Section[] = [
  { title: 'At a glance', panels: headline },
  { title: 'Traffic and errors', panels: traffic },
  { title: 'Latency', panels: latency },
  { title: 'Saturation', panels: saturation },
  { title: 'Replicas', panels: replicas },
];
