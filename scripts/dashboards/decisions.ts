/** Owns the dashboard Decisions: what is dropped, whether that is right, and what it saves. */
import type { Panel, Section } from './panels.js';
import { BY_PROBE, BY_VERSION } from './variables.js';

const DECISIONS = `diffusion_probe_decisions_total{${BY_PROBE}}`;
const DROPS = `diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}`;
/** Where there is feedback: of decision points that nobody asks about there is nothing to show. */
const TOLD = 'and on (model, version, step) diffusion_probe:effective_samples > 0';
const NO_FEEDBACK = 'No quality has been reported yet';
const tenths = (filter: string): string => `diffusion_probe_score_tenths_total{${filter}${BY_PROBE}}`;
const POINT = '{{model}}@{{version}}, step {{step}}';
const SAVED_SECONDS = `($step_seconds * sum(increase(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__range])) - sum(increase(diffusion_probe_spent_seconds_total{${BY_PROBE}}[$__range])))`;

/** One stat per half of a quarter of the row. */
const small = { kind: 'stat', width: 4, height: 4 } as const;
const graph = { kind: 'lines', width: 12, height: 8 } as const;
const narrow = { kind: 'lines', width: 8, height: 8 } as const;

const headline: Panel[] = [
  {
    ...small,
    title: 'Decisions',
    description: 'Samples decided on over the time range shown.',
    unit: 'short',
    queries: [{ expr: `sum(increase(${DECISIONS}[$__range])) or vector(0)`, legend: 'decisions' }],
  },
  {
    ...small,
    title: 'Drop rate',
    description: 'Share of samples that were told to stop, over the time range shown.',
    unit: 'percentunit',
    queries: [
      {
        expr: `sum(increase(${DROPS}[$__range])) / sum(increase(${DECISIONS}[$__range]))`,
        legend: 'dropped',
      },
    ],
  },
  {
    ...small,
    title: 'Steps saved',
    description: 'Denoising steps that dropped samples did not take, over the time range shown.',
    unit: 'short',
    queries: [
      {
        expr: `sum(increase(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__range])) or vector(0)`,
        legend: 'steps',
      },
    ],
  },
  {
    ...small,
    title: 'Backbone time saved',
    description:
      'Steps saved times the seconds per step typed in above, less the time that backends waited for the probe.',
    unit: 's',
    queries: [{ expr: SAVED_SECONDS, legend: 'saved' }],
  },
  {
    ...small,
    title: 'Money saved',
    description: 'The backbone time saved, at the price per hour typed in above.',
    unit: 'currencyUSD',
    queries: [{ expr: `${SAVED_SECONDS} / 3600 * $price_per_hour`, legend: 'saved' }],
  },
  {
    ...small,
    title: 'Qualities reported',
    description: 'Finished samples whose true quality came back, over the time range shown.',
    unit: 'short',
    queries: [
      {
        expr: `sum(increase(diffusion_probe_feedback_samples_total{${BY_PROBE}}[$__range])) or vector(0)`,
        legend: 'samples',
      },
    ],
  },
];

const decided: Panel[] = [
  {
    ...narrow,
    title: 'Decisions per second',
    description: 'Samples that were kept, and samples that were dropped.',
    unit: 'suffix: samples/s',
    colours: { keep: 'green', drop: 'orange' },
    queries: [{ expr: `sum by (decision) (rate(${DECISIONS}[$__rate_interval]))`, legend: '{{decision}}' }],
  },
  {
    ...narrow,
    title: 'Decisions by reason',
    description:
      'Why samples were kept or dropped. uncalibrated: the probe has too few good calibration samples for the policy, so nothing is dropped.',
    unit: 'suffix: samples/s',
    queries: [
      {
        expr: `sum by (reason, override) (rate(${DECISIONS}[$__rate_interval]))`,
        legend: '{{reason}}, override {{override}}',
      },
    ],
  },
  {
    ...narrow,
    title: 'Drop rate by decision point',
    description: 'Share of samples dropped at each step that is asked about.',
    unit: 'percentunit',
    empty: 'No decision in this time range',
    queries: [
      {
        expr: `sum by (model, version, step) (rate(${DROPS}[$__rate_interval])) / (sum by (model, version, step) (rate(${DECISIONS}[$__rate_interval])) > 0)`,
        legend: POINT,
      },
    ],
  },
];

const right: Panel[] = [
  {
    ...graph,
    title: 'False drops against the promise',
    description:
      'Share of good samples that were dropped, over a day, with the upper end of its 95% interval, and the share alpha that the policy allows. Learned from explored samples: a wide interval means that little feedback has come.',
    unit: 'percentunit',
    empty: NO_FEEDBACK,
    queries: [
      {
        expr: `diffusion_probe:live_false_drop{alpha!="",${BY_VERSION}} ${TOLD}`,
        legend: `estimate, ${POINT}`,
      },
      {
        expr: `diffusion_probe:live_false_drop_upper{alpha!="",${BY_VERSION}} ${TOLD}`,
        legend: `upper end, ${POINT}`,
      },
      {
        expr: `max by (model, version, step, policy, alpha) (diffusion_probe_policy_alpha{${BY_PROBE}}) ${TOLD}`,
        legend: `alpha, ${POINT}`,
      },
    ],
  },
  {
    ...graph,
    title: 'Correlation of score and quality',
    description:
      'How well scores foretold true quality over a day: 1 is perfectly, 0 not at all. Weighted, so that dropped samples count too.',
    unit: 'none',
    threshold: { below: 0.2 },
    empty: NO_FEEDBACK,
    queries: [{ expr: `diffusion_probe:live_correlation{${BY_VERSION}} ${TOLD}`, legend: POINT }],
  },
  {
    ...narrow,
    title: 'Weight of the evidence',
    description:
      'As how many equally weighted samples the feedback of a day counts. Below 100, read nothing into the two panels above.',
    unit: 'short',
    threshold: { below: 100 },
    empty: NO_FEEDBACK,
    queries: [{ expr: `diffusion_probe:effective_samples{${BY_VERSION}} > 0`, legend: POINT }],
  },
  {
    ...narrow,
    title: 'Feedback coverage',
    description:
      'Share of finished samples whose quality came back, for samples that were kept and for those that exploration saved.',
    unit: 'percentunit',
    empty: NO_FEEDBACK,
    queries: [
      { expr: `diffusion_probe:feedback_coverage{${BY_VERSION}} ${TOLD}`, legend: `{{arm}}, ${POINT}` },
    ],
  },
  {
    ...narrow,
    title: 'Feedback delay',
    description: 'Half of the qualities came back within this time after the decision.',
    unit: 's',
    empty: NO_FEEDBACK,
    queries: [
      {
        expr: `diffusion_probe:feedback_delay_seconds:p50{${BY_VERSION}} >= 0`,
        legend: '{{arm}}, {{model}}@{{version}}',
      },
    ],
  },
  {
    ...graph,
    title: 'Receipts refused by reason',
    description:
      'Receipts that did not count. foreign: replicas do not share FEEDBACK_KEYS_FILE. expired: qualities come back too late.',
    unit: 'suffix: receipts/s',
    queries: [
      {
        expr: 'sum by (reason) (rate(diffusion_probe_feedback_refused_total{instance=~"$instance"}[$__rate_interval]))',
        legend: '{{reason}}',
      },
    ],
  },
  {
    ...graph,
    title: 'Feedback that teaches little',
    description:
      'clipped: outside the metric’s range, taken as its end. unweighted: at exploration rate 0 nothing can be learned of what is dropped.',
    unit: 'suffix: samples/s',
    queries: [
      {
        expr: `sum by (value) (rate(diffusion_probe_feedback_clipped_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: 'clipped {{value}}',
      },
      {
        expr: `sum(rate(diffusion_probe_feedback_unweighted_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: 'unweighted',
      },
    ],
  },
];

const drift: Panel[] = [
  {
    ...narrow,
    title: 'Drift of the scores',
    description:
      'How far the scores of a day are from those of the calibration (population stability index). Up to 0.1 is usual; above 0.25 the prompts or the backbone have changed and the promise on false drops is void.',
    unit: 'none',
    threshold: { above: 0.25 },
    empty: 'No sample has been scored yet',
    queries: [{ expr: `diffusion_probe:score_drift{${BY_VERSION}} >= 0`, legend: POINT }],
  },
  {
    ...narrow,
    kind: 'bars',
    title: 'Scores by tenth of the calibration',
    description:
      'Share of the samples of this time range by percentile among the calibration scores. Without drift each tenth holds 10%.',
    unit: 'percentunit',
    empty: 'No sample has been scored yet',
    // One query each, so that the bars stand in order.
    queries: Array.from({ length: 10 }, (_, index) => ({
      expr: `sum(increase(${tenths(`tenth="${index + 1}",`)}[$__range])) / (sum(increase(${tenths('')}[$__range])) > 0)`,
      legend: `${index * 10}–${(index + 1) * 10}`,
    })),
  },
  {
    title: 'Scores',
    description: 'The scores, mapped to 0 for the metric’s lowest and 1 for its highest value.',
    unit: 'none',
    kind: 'heatmap',
    width: 8,
    height: 8,
    queries: [
      {
        expr: `sum by (le) (increase(diffusion_probe_score_bucket{${BY_PROBE}}[$__rate_interval]))`,
        legend: '{{le}}',
      },
    ],
  },
];

const saved: Panel[] = [
  {
    ...graph,
    title: 'Steps saved and steps lost',
    description:
      'saved: steps that dropped samples did not take. lost: steps that they had taken before they were dropped.',
    unit: 'suffix: steps/s',
    queries: [
      {
        expr: `sum(rate(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: 'saved',
      },
      { expr: `sum(rate(diffusion_probe_steps_lost_total{${BY_PROBE}}[$__rate_interval]))`, legend: 'lost' },
    ],
  },
  {
    ...graph,
    title: 'Time that backends waited',
    description: 'Seconds per second that backends spent waiting for answers of /score: the price of asking.',
    unit: 'suffix: s/s',
    queries: [
      {
        expr: `sum by (model, version) (rate(diffusion_probe_spent_seconds_total{${BY_PROBE}}[$__rate_interval]))`,
        legend: '{{model}}@{{version}}',
      },
    ],
  },
];

export const decisions: readonly Section[] = [
  { title: 'At a glance', panels: headline },
  { title: 'What is decided', panels: decided },
  { title: 'Whether it is right', panels: right },
  { title: 'Whether the world has changed', panels: drift },
  { title: 'What it saves', panels: saved },
];

export const decisionsTypedIn = [
  { name: 'step_seconds', label: 'Seconds per step of one sample', value: '0.05' },
  { name: 'price_per_hour', label: 'Price per hour of the backbone’s hardware', value: '2.5' },
];
