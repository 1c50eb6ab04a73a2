/** Owns the dashboard Models: which versions of the probes are in service, and one beside the other. */
import type { Panel, Section } from './panels.js';
import { BY_PROBE, BY_VERSION } from './variables.js';

const VERSION = '{{model}}@{{version}}';
/** A request that did not get as far as its probe is none of any version's. */
const REQUESTS = `diffusion_probe_score_requests_total{model!="",${BY_PROBE}}`;
const share = (part: string, whole: string): string =>
  `sum by (model, version) (rate(${part}[$__rate_interval])) / (sum by (model, version) (rate(${whole}[$__rate_interval])) > 0)`;

const graph = { kind: 'lines', width: 12, height: 8 } as const;
const quiet = { empty: 'No request in this time range' } as const;

const versions: Panel[] = [
  {
    title: 'Versions loaded',
    description:
      'Each version of each probe, where it runs, and on how many replicas. The newest one serves; older ones answer to name@version.',
    unit: 'short',
    kind: 'table',
    queries: [
      {
        expr: `count by (model, version, provider) (diffusion_probe_execution_provider_info{${BY_PROBE}} == 1)`,
        legend: 'Replicas',
      },
    ],
    width: 12,
    height: 7,
  },
  {
    title: 'Hashes of the graphs',
    description: 'SHA-256 of model.onnx. One version with two hashes: replicas have different files.',
    unit: 'short',
    kind: 'table',
    queries: [
      {
        expr: `count by (model, version, sha256) (diffusion_probe_model_info{${BY_PROBE}} == 1)`,
        legend: 'Replicas',
      },
    ],
    width: 12,
    height: 7,
  },
  {
    title: 'Versions compared',
    description:
      'A new version beside the one before it. Compare them only on the same traffic, and when both have enough feedback.',
    unit: 'short',
    kind: 'table',
    queries: [
      {
        expr: `sum by (model, version) (rate(${REQUESTS}[$__rate_interval]))`,
        legend: 'Requests per second',
      },
      {
        expr: `sum by (model, version) (increase(diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}[$__range])) / sum by (model, version) (increase(diffusion_probe_decisions_total{${BY_PROBE}}[$__range]))`,
        legend: 'Drop rate',
      },
      {
        expr: `sum by (model, version) (increase(diffusion_probe_score_sum{${BY_PROBE}}[$__range])) / sum by (model, version) (increase(diffusion_probe_score_count{${BY_PROBE}}[$__range]))`,
        legend: 'Mean score',
      },
      {
        expr: `histogram_quantile(0.99, sum by (model, version, le) (increase(diffusion_probe_batch_duration_seconds_bucket{${BY_PROBE}}[$__range])))`,
        legend: 'Inference, 99%',
      },
      {
        expr: `min by (model, version) (diffusion_probe:live_correlation{${BY_VERSION}})`,
        legend: 'Correlation, worst step',
      },
      {
        expr: `max by (model, version) (diffusion_probe:live_false_drop_upper{alpha!="",${BY_VERSION}})`,
        legend: 'False drops, upper end, worst step',
      },
    ],
    columnUnits: {
      'Requests per second': 'reqps',
      'Drop rate': 'percentunit',
      'Mean score': 'none',
      'Inference, 99%': 's',
      'Correlation, worst step': 'none',
      'False drops, upper end, worst step': 'percentunit',
    },
    width: 24,
    height: 7,
  },
];

const compared: Panel[] = [
  {
    ...graph,
    title: 'Requests by version',
    description: 'Who asks which version: how far a rollout or a canary has come.',
    unit: 'reqps',
    queries: [{ expr: `sum by (model, version) (rate(${REQUESTS}[$__rate_interval]))`, legend: VERSION }],
  },
  {
    ...graph,
    ...quiet,
    title: 'Requests without scores by version',
    description: 'Share of requests to each version that failed, failed open, were refused or left.',
    unit: 'percentunit',
    queries: [
      {
        expr: `1 - ${share(`diffusion_probe_score_requests_total{outcome="scored",model!="",${BY_PROBE}}`, REQUESTS)}`,
        legend: VERSION,
      },
    ],
  },
  {
    ...graph,
    ...quiet,
    title: 'Drop rate by version',
    description: 'Share of samples that each version’s scores made the policy drop.',
    unit: 'percentunit',
    queries: [
      {
        expr: share(
          `diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}`,
          `diffusion_probe_decisions_total{${BY_PROBE}}`,
        ),
        legend: VERSION,
      },
    ],
  },
  {
    ...graph,
    ...quiet,
    title: 'Mean score by version',
    description: 'The mean score, mapped to 0 for the metric’s lowest and 1 for its highest value.',
    unit: 'none',
    queries: [
      {
        expr: share(`diffusion_probe_score_sum{${BY_PROBE}}`, `diffusion_probe_score_count{${BY_PROBE}}`),
        legend: VERSION,
      },
    ],
  },
  {
    ...graph,
    title: 'Inference by version',
    description: '99 in 100 inferences of each version took at most this long.',
    unit: 's',
    queries: [
      {
        expr: `histogram_quantile(0.99, sum by (model, version, le) (rate(diffusion_probe_batch_duration_seconds_bucket{${BY_PROBE}}[$__rate_interval])))`,
        legend: VERSION,
      },
    ],
  },
  {
    ...graph,
    title: 'Correlation by version',
    description: 'How well each version’s scores foretold true quality over a day, by step.',
    unit: 'none',
    threshold: { below: 0.2 },
    empty: 'No quality has been reported yet',
    queries: [
      {
        expr: `diffusion_probe:live_correlation{${BY_VERSION}} and on (model, version, step) diffusion_probe:effective_samples > 0`,
        legend: `${VERSION}, step {{step}}`,
      },
    ],
  },
  {
    ...graph,
    title: 'Loads and refusals',
    description:
      'Probes that were loaded, and folders that were refused, since the replicas started. GET /models gives the reason.',
    unit: 'short',
    queries: [
      {
        expr: `sum by (model, version) (diffusion_probe_loaded_probes_total{${BY_PROBE}})`,
        legend: `loaded ${VERSION}`,
      },
      {
        expr: `sum by (model, version) (diffusion_probe_refused_probes_total{${BY_PROBE}})`,
        legend: `refused ${VERSION}`,
      },
    ],
  },
  {
    ...graph,
    title: 'Replicas by device',
    description:
      'Where the probes really run. CUDA was asked for and cpu shows: the alert DiffusionProbeOnCpu says what to do.',
    unit: 'short',
    queries: [
      {
        expr: `count by (model, version, provider) (diffusion_probe_execution_provider_info{${BY_PROBE}} == 1)`,
        legend: `${VERSION} on {{provider}}`,
      },
    ],
  },
];

export const models: readonly Section[] = [
  { title: 'In service', panels: versions },
  { title: 'One beside the other', panels: compared },
];
