/** The dashboard Models: the loaded versions of the probes, and a comparison of them. */
import { BY_PROBE, BY_VERSION, type DashboardSource, lines, type Panel, table } from './panels.js';

const VERSION = '{{model}}@{{version}}';
/** Without requests that were refused before their probe was known. */
const REQUESTS = `diffusion_probe_score_requests_total{model!="",${BY_PROBE}}`;
const share = (some: string, all: string): string =>
  `sum by (model, version) (rate(${some}[$__rate_interval])) / (sum by (model, version) (rate(${all}[$__rate_interval])) > 0)`;

const NO_REQUEST = 'No request in this time range';

const versions: Panel[] = [
  {
    ...table(12, 7),
    title: 'Versions loaded',
    description:
      'Each version of each probe, where it runs, and on how many replicas. The newest one serves; older ones answer to name@version.',
    unit: 'short',
    queries: {
      Replicas: `count by (model, version, provider) (diffusion_probe_execution_provider_info{${BY_PROBE}} == 1)`,
    },
  },
  {
    ...table(12, 7),
    title: 'Hashes of the graphs',
    description: 'SHA-256 of model.onnx. One version with two hashes: replicas have different files.',
    unit: 'short',
    queries: { Replicas: `count by (model, version, sha256) (diffusion_probe_model_info{${BY_PROBE}} == 1)` },
  },
  {
    ...table(24, 7),
    title: 'Versions compared',
    description:
      'A new version beside the one before it. Compare them only on the same traffic, and when both have enough feedback.',
    unit: 'short',
    queries: {
      'Requests per second': `sum by (model, version) (rate(${REQUESTS}[$__rate_interval]))`,
      'Drop rate': `sum by (model, version) (increase(diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}[$__range])) / sum by (model, version) (increase(diffusion_probe_decisions_total{${BY_PROBE}}[$__range]))`,
      'Mean score': `sum by (model, version) (increase(diffusion_probe_score_sum{${BY_PROBE}}[$__range])) / sum by (model, version) (increase(diffusion_probe_score_count{${BY_PROBE}}[$__range]))`,
      'Inference, 99%': `histogram_quantile(0.99, sum by (model, version, le) (increase(diffusion_probe_batch_duration_seconds_bucket{${BY_PROBE}}[$__range])))`,
      'Correlation, worst step': `min by (model, version) (diffusion_probe:live_correlation{${BY_VERSION}})`,
      'False drops, upper end, worst step': `max by (model, version) (diffusion_probe:live_false_drop_upper{alpha!="",${BY_VERSION}})`,
    },
    columnUnits: {
      'Requests per second': 'reqps',
      'Drop rate': 'percentunit',
      'Mean score': 'none',
      'Inference, 99%': 's',
      'Correlation, worst step': 'none',
      'False drops, upper end, worst step': 'percentunit',
    },
  },
];

const compared: Panel[] = [
  {
    ...lines(12, 8),
    title: 'Requests by version',
    description: 'Who asks which version: how far a rollout or a canary has come.',
    unit: 'reqps',
    queries: { [VERSION]: `sum by (model, version) (rate(${REQUESTS}[$__rate_interval]))` },
  },
  {
    ...lines(12, 8),
    empty: NO_REQUEST,
    title: 'Requests without scores by version',
    description: 'Share of requests to each version that failed, failed open, were refused or left.',
    unit: 'percentunit',
    queries: {
      [VERSION]: `1 - ${share(`diffusion_probe_score_requests_total{outcome="scored",model!="",${BY_PROBE}}`, REQUESTS)}`,
    },
  },
  {
    ...lines(12, 8),
    empty: NO_REQUEST,
    title: 'Drop rate by version',
    description: 'Share of samples that each version’s scores made the policy drop.',
    unit: 'percentunit',
    queries: {
      [VERSION]: share(
        `diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}`,
        `diffusion_probe_decisions_total{${BY_PROBE}}`,
      ),
    },
  },
  {
    ...lines(12, 8),
    empty: NO_REQUEST,
    title: 'Mean score by version',
    description: 'The mean score, mapped to 0 for the metric’s lowest and 1 for its highest value.',
    unit: 'none',
    queries: {
      [VERSION]: share(`diffusion_probe_score_sum{${BY_PROBE}}`, `diffusion_probe_score_count{${BY_PROBE}}`),
    },
  },
  {
    ...lines(12, 8),
    title: 'Inference by version',
    description: '99 in 100 inferences of each version took at most this long.',
    unit: 's',
    queries: {
      [VERSION]: `histogram_quantile(0.99, sum by (model, version, le) (rate(diffusion_probe_batch_duration_seconds_bucket{${BY_PROBE}}[$__rate_interval])))`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Correlation by version',
    description: 'How well each version’s scores foretold true quality over a day, by step.',
    unit: 'none',
    threshold: { below: 0.2 },
    empty: 'No quality has been reported yet',
    queries: {
      [`${VERSION}, step {{step}}`]: `diffusion_probe:live_correlation{${BY_VERSION}} and on (model, version, step) diffusion_probe:effective_samples > 0`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Loads and refusals',
    description:
      'Probes that were loaded, and folders that were refused, since the replicas started. GET /models gives the reason.',
    unit: 'short',
    queries: {
      [`loaded ${VERSION}`]: `sum by (model, version) (diffusion_probe_loaded_probes_total{${BY_PROBE}})`,
      [`refused ${VERSION}`]: `sum by (model, version) (diffusion_probe_refused_probes_total{${BY_PROBE}})`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Replicas by device',
    description:
      'Where the probes really run. CUDA was asked for and cpu shows: the alert DiffusionProbeOnCpu says what to do.',
    unit: 'short',
    queries: {
      [`${VERSION} on {{provider}}`]: `count by (model, version, provider) (diffusion_probe_execution_provider_info{${BY_PROBE}} == 1)`,
    },
  },
];

export const models: DashboardSource = {
  title: 'Models',
  sections: [
    { title: 'In service', panels: versions },
    { title: 'One beside the other', panels: compared },
  ],
};
