/** The dashboard Decisions: what is dropped, how many of the drops are wrong, and what the drops save. */
import {
  bars,
  BY_PROBE,
  BY_VERSION,
  type DashboardSource,
  heatmap,
  lines,
  type Panel,
  stat,
} from './panels.js';

const DECISIONS = `diffusion_probe_decisions_total{${BY_PROBE}}`;
const DROPS = `diffusion_probe_decisions_total{decision="drop",${BY_PROBE}}`;
/** Hides decision points without feedback. */
const WITH_FEEDBACK = 'and on (model, version, step) diffusion_probe:effective_samples > 0';
const NO_FEEDBACK = 'No quality has been reported yet';
const tenths = (filter: string): string => `diffusion_probe_score_tenths_total{${filter}${BY_PROBE}}`;
const POINT = '{{model}}@{{version}}, step {{step}}';
const SAVED_SECONDS = `($step_seconds * sum(increase(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__range])) - sum(increase(diffusion_probe_spent_seconds_total{${BY_PROBE}}[$__range])))`;

const headline: Panel[] = [
  {
    ...stat(4, 4),
    title: 'Decisions',
    description: 'Samples decided on over the time range shown.',
    unit: 'short',
    queries: { decisions: `sum(increase(${DECISIONS}[$__range])) or vector(0)` },
  },
  {
    ...stat(4, 4),
    title: 'Drop rate',
    description: 'Share of samples that were told to stop, over the time range shown.',
    unit: 'percentunit',
    queries: { dropped: `sum(increase(${DROPS}[$__range])) / sum(increase(${DECISIONS}[$__range]))` },
  },
  {
    ...stat(4, 4),
    title: 'Steps saved',
    description: 'Denoising steps that dropped samples did not take, over the time range shown.',
    unit: 'short',
    queries: {
      steps: `sum(increase(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__range])) or vector(0)`,
    },
  },
  {
    ...stat(4, 4),
    title: 'Backbone time saved',
    description:
      'Steps saved times the seconds per step typed in above, less the time that backends waited for the probe.',
    unit: 's',
    queries: { saved: SAVED_SECONDS },
  },
  {
    ...stat(4, 4),
    title: 'Money saved',
    description: 'The backbone time saved, at the price per hour typed in above.',
    unit: 'currencyUSD',
    queries: { saved: `${SAVED_SECONDS} / 3600 * $price_per_hour` },
  },
  {
    ...stat(4, 4),
    title: 'Qualities reported',
    description: 'Finished samples whose true quality came back, over the time range shown.',
    unit: 'short',
    queries: {
      samples: `sum(increase(diffusion_probe_feedback_samples_total{${BY_PROBE}}[$__range])) or vector(0)`,
    },
  },
];

const decided: Panel[] = [
  {
    ...lines(8, 8),
    title: 'Decisions per second',
    description: 'Samples that were kept, and samples that were dropped.',
    unit: 'suffix: samples/s',
    colours: { keep: 'green', drop: 'orange' },
    queries: { '{{decision}}': `sum by (decision) (rate(${DECISIONS}[$__rate_interval]))` },
  },
  {
    ...lines(8, 8),
    title: 'Decisions by reason',
    description:
      'Why samples were kept or dropped. uncalibrated: the probe has too few good calibration samples for the policy, so nothing is dropped.',
    unit: 'suffix: samples/s',
    queries: {
      '{{reason}}, override {{override}}': `sum by (reason, override) (rate(${DECISIONS}[$__rate_interval]))`,
    },
  },
  {
    ...lines(8, 8),
    title: 'Drop rate by decision point',
    description: 'Share of samples dropped at each step that is asked about.',
    unit: 'percentunit',
    empty: 'No decision in this time range',
    queries: {
      [POINT]: `sum by (model, version, step) (rate(${DROPS}[$__rate_interval])) / (sum by (model, version, step) (rate(${DECISIONS}[$__rate_interval])) > 0)`,
    },
  },
];

const right: Panel[] = [
  {
    ...lines(12, 8),
    title: 'False drops against the promise',
    description:
      'Share of good samples that were dropped, over a day, with the upper end of its 95% interval, and the share alpha that the policy allows. Learned from explored samples: a wide interval means that little feedback has come.',
    unit: 'percentunit',
    empty: NO_FEEDBACK,
    queries: {
      [`estimate, ${POINT}`]: `diffusion_probe:live_false_drop{alpha!="",${BY_VERSION}} ${WITH_FEEDBACK}`,
      [`upper end, ${POINT}`]: `diffusion_probe:live_false_drop_upper{alpha!="",${BY_VERSION}} ${WITH_FEEDBACK}`,
      [`alpha, ${POINT}`]: `max by (model, version, step, policy, alpha) (diffusion_probe_policy_alpha{${BY_PROBE}}) ${WITH_FEEDBACK}`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Correlation of score and quality',
    description:
      'How well scores foretold true quality over a day: 1 is perfectly, 0 not at all. Weighted, so that dropped samples count too.',
    unit: 'none',
    threshold: { below: 0.2 },
    empty: NO_FEEDBACK,
    queries: { [POINT]: `diffusion_probe:live_correlation{${BY_VERSION}} ${WITH_FEEDBACK}` },
  },
  {
    ...lines(8, 8),
    title: 'Weight of the evidence',
    description:
      'As how many equally weighted samples the feedback of a day counts. Below 100, read nothing into the two panels above.',
    unit: 'short',
    threshold: { below: 100 },
    empty: NO_FEEDBACK,
    queries: { [POINT]: `diffusion_probe:effective_samples{${BY_VERSION}} > 0` },
  },
  {
    ...lines(8, 8),
    title: 'Feedback coverage',
    description:
      'Share of finished samples whose quality came back, for samples that were kept and for those that exploration saved.',
    unit: 'percentunit',
    empty: NO_FEEDBACK,
    queries: { [`{{arm}}, ${POINT}`]: `diffusion_probe:feedback_coverage{${BY_VERSION}} ${WITH_FEEDBACK}` },
  },
  {
    ...lines(8, 8),
    title: 'Feedback delay',
    description: 'Half of the qualities came back within this time after the decision.',
    unit: 's',
    empty: NO_FEEDBACK,
    queries: {
      '{{arm}}, {{model}}@{{version}}': `diffusion_probe:feedback_delay_seconds:p50{${BY_VERSION}} >= 0`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Receipts refused by reason',
    description:
      'Receipts that did not count. foreign: replicas do not share FEEDBACK_KEYS_FILE. expired: qualities come back too late.',
    unit: 'suffix: receipts/s',
    queries: {
      '{{reason}}':
        'sum by (reason) (rate(diffusion_probe_feedback_refused_total{instance=~"$instance"}[$__rate_interval]))',
    },
  },
  {
    ...lines(12, 8),
    title: 'Feedback that teaches little',
    description:
      'clipped: outside the metric’s range, taken as its end. unweighted: at exploration rate 0 nothing can be learned of what is dropped.',
    unit: 'suffix: samples/s',
    queries: {
      'clipped {{value}}': `sum by (value) (rate(diffusion_probe_feedback_clipped_total{${BY_PROBE}}[$__rate_interval]))`,
      unweighted: `sum(rate(diffusion_probe_feedback_unweighted_total{${BY_PROBE}}[$__rate_interval]))`,
    },
  },
];

const drift: Panel[] = [
  {
    ...lines(8, 8),
    title: 'Drift of the scores',
    description:
      'How far the scores of a day are from those of the calibration (population stability index). Up to 0.1 is usual; above 0.25 the prompts or the backbone have changed and the promise on false drops is void.',
    unit: 'none',
    threshold: { above: 0.25 },
    empty: 'No sample has been scored yet',
    queries: { [POINT]: `diffusion_probe:score_drift{${BY_VERSION}} >= 0` },
  },
  {
    ...bars(8, 8),
    title: 'Scores by tenth of the calibration',
    description:
      'Share of the samples of this time range by percentile among the calibration scores. Without drift each tenth holds 10%.',
    unit: 'percentunit',
    empty: 'No sample has been scored yet',
    // One query each, so that the bars stand in order.
    queries: Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [
        `${index * 10}–${(index + 1) * 10}`,
        `sum(increase(${tenths(`tenth="${index + 1}",`)}[$__range])) / (sum(increase(${tenths('')}[$__range])) > 0)`,
      ]),
    ),
  },
  {
    ...heatmap(8, 8),
    title: 'Scores',
    description: 'The scores, mapped to 0 for the metric’s lowest and 1 for its highest value.',
    unit: 'none',
    queries: {
      '{{le}}': `sum by (le) (increase(diffusion_probe_score_bucket{${BY_PROBE}}[$__rate_interval]))`,
    },
  },
];

const saved: Panel[] = [
  {
    ...lines(12, 8),
    title: 'Steps saved and steps lost',
    description:
      'saved: steps that dropped samples did not take. lost: steps that they had taken before they were dropped.',
    unit: 'suffix: steps/s',
    queries: {
      saved: `sum(rate(diffusion_probe_steps_saved_total{${BY_PROBE}}[$__rate_interval]))`,
      lost: `sum(rate(diffusion_probe_steps_lost_total{${BY_PROBE}}[$__rate_interval]))`,
    },
  },
  {
    ...lines(12, 8),
    title: 'Time that backends waited',
    description: 'Seconds per second that backends spent waiting for answers of /score: the price of asking.',
    unit: 'suffix: s/s',
    queries: {
      '{{model}}@{{version}}': `sum by (model, version) (rate(diffusion_probe_spent_seconds_total{${BY_PROBE}}[$__rate_interval]))`,
    },
  },
];

export const decisions: DashboardSource = {
  title: 'Decisions',
  sections: [
    { title: 'At a glance', panels: headline },
    { title: 'What is decided', panels: decided },
    { title: 'Whether it is right', panels: right },
    { title: 'Whether the scores have changed', panels: drift },
    { title: 'What it saves', panels: saved },
  ],
  inputs: [
    { name: 'step_seconds', label: 'Seconds per step of one sample', value: '0.05' },
    { name: 'price_per_hour', label: 'Price per hour of the backbone’s hardware', value: '2.5' },
  ],
};
