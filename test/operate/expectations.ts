/** Owns what each panel must show for the traffic that was sent: computed from the truth, panel by panel. */
import { readFileSync } from 'node:fs';

import {
  coverage,
  drift,
  dropRate,
  effectiveSamples,
  falseDrop,
  isDropped,
  isExplored,
  isGoodDrop,
  isReported,
  Known,
  perSecond,
  sum,
} from './known.js';
import { ALPHA, type RunningService } from './service.js';
import {
  type Decided,
  LATE_REQUESTS,
  type Truth,
  UNKNOWN_ADDRESSES,
  UNKNOWN_MODELS,
  WRONG_REQUESTS,
} from './traffic.js';

/** Values by the names that the legend gives to series; a panel may show more. */
export type Shown = Readonly<Record<string, number>>;

/** What a viewer types in. */
export const TYPED_IN = { step_seconds: 0.05, price_per_hour: 2.5 };
/** No matter of what was sent: such a panel must show numbers, whichever. */
const MEASURED: Shown = {};
const SECONDS_PER_HOUR = 3600;

type Dashboards = Readonly<Record<string, Readonly<Record<string, Shown>>>>;

/** By dashboard and by panel. */
export function expectations(truth: Truth, service: RunningService): Dashboards {
  const known = new Known(truth, service);
  return {
    service: serviceExpectations(known),
    decisions: decisionsExpectations(known),
    models: modelsExpectations(known),
  };
}

function serviceExpectations(known: Known): Record<string, Shown> {
  const { truth, instance, scored, requests } = known;
  const refused = WRONG_REQUESTS + UNKNOWN_MODELS;
  const packageJson = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  return {
    'Replicas ready': { ready: 1 },
    'Requests per second': { requests: perSecond(requests) },
    'Requests in this time range': { requests },
    'Answered with scores': { scored: scored / (scored + LATE_REQUESTS) },
    'Answered within 50 ms': MEASURED,
    'Requests by outcome': {
      scored: perSecond(scored),
      failed_open: perSecond(LATE_REQUESTS),
      refused: perSecond(refused),
      failed: 0,
      gone: 0,
    },
    'Samples by outcome': {
      scored: perSecond(truth.decided.length),
      refused: perSecond(truth.wrongSamples),
      failed_open: 0,
    },
    'Failed open by reason': { deadline: perSecond(LATE_REQUESTS), overloaded: 0, unready: 0, internal: 0 },
    'Problems by code': {
      attention_out_of_range: perSecond(WRONG_REQUESTS),
      model_not_found: perSecond(UNKNOWN_MODELS),
      not_found: perSecond(UNKNOWN_ADDRESSES),
    },
    'Left the queue without inference': { aborted: 0, deadline: 0, predicted: 0 },
    'Time to answer': MEASURED,
    'Slowest hundredth by stage': MEASURED,
    'Time in receive': { '+Inf': scored + refused },
    'Time in decode': { '+Inf': scored + WRONG_REQUESTS },
    'Time in queue': { '+Inf': scored },
    'Time in inference': { '+Inf': scored },
    'Time in decision': { '+Inf': scored },
    'Time in total': { '+Inf': requests },
    'Queue in use': { [instance]: 0 },
    'Samples waiting': { [instance]: 0 },
    'Samples per inference': MEASURED,
    Replicas: {
      [`Requests per second, instance=${instance}`]: perSecond(requests),
      [`Ready, instance=${instance}`]: 1,
    },
    'Build of each replica': {
      [`Running, instance=${instance}, node=${process.version}, version=${packageJson.version}`]: 1,
    },
    'Operator files refused': { [`policies at ${instance}`]: 1, [`feedback_keys at ${instance}`]: 0 },
    'Workers replaced': { [instance]: 0 },
    'CPU in use': MEASURED,
    'Memory in use': MEASURED,
    'Event loop lag': MEASURED,
  };
}

function decisionsExpectations(known: Known): Record<string, Shown> {
  const { truth, versions, totalSteps } = known;
  const { decided } = truth;
  const dropped = decided.filter(isDropped);
  const saved = sum(dropped.map(({ step }) => totalSteps - step));
  const lost = sum(dropped.map(({ step }) => step));
  const secondsSaved = TYPED_IN.step_seconds * saved - sum([...truth.waited.values()]);
  return {
    Decisions: { decisions: decided.length },
    'Drop rate': { dropped: dropped.length / decided.length },
    'Steps saved': { steps: saved },
    'Backbone time saved': { saved: secondsSaved },
    'Money saved': { saved: (secondsSaved / SECONDS_PER_HOUR) * TYPED_IN.price_per_hour },
    'Qualities reported': { samples: decided.filter(isReported).length },
    'Decisions per second': {
      keep: perSecond(decided.length - dropped.length),
      drop: perSecond(dropped.length),
    },
    'Decisions by reason': known.byReason(),
    'Drop rate by decision point': known.perPoint('', dropRate),
    'False drops against the promise': {
      ...known.perPoint('estimate, ', falseDrop),
      ...known.perPoint('alpha, ', () => ALPHA),
    },
    'Correlation of score and quality': known.perPoint('', (samples) => known.correlation(samples)),
    'Weight of the evidence': known.perPoint('', effectiveSamples),
    'Feedback coverage': {
      ...known.perPoint('kept, ', (samples) => coverage(samples.filter((sample) => !isExplored(sample)))),
      ...known.perPoint('explored, ', (samples) => coverage(samples.filter(isExplored))),
    },
    'Feedback delay': MEASURED,
    'Receipts refused by reason': {
      malformed: perSecond(truth.malformedReceipts),
      repeated: perSecond(truth.repeatedReceipts),
      foreign: 0,
      tampered: 0,
      expired: 0,
    },
    'Feedback that teaches little': {
      'clipped quality': perSecond(truth.clippedQualities),
      'clipped score': 0,
      unweighted: 0,
    },
    'Drift of the scores': known.perPoint('', drift),
    'Scores by tenth of the calibration': known.tenths(),
    Scores: { '+Inf': decided.length },
    'Steps saved and steps lost': { saved: perSecond(saved), lost: perSecond(lost) },
    'Time that backends waited': Object.fromEntries(
      versions.map((version) => [known.name(version), perSecond(truth.waited.get(version) ?? NaN)]),
    ),
  };
}

function modelsExpectations(known: Known): Record<string, Shown> {
  const { truth, versions, model, sha256 } = known;
  const each = (name: (version: number) => string, value: (version: number) => number): Shown =>
    Object.fromEntries(versions.map((version) => [name(version), value(version)]));
  const row = (column: string) => (version: number) => `${column}, model=${model}, version=${version}`;
  const of = (version: number) => truth.decided.filter((sample) => sample.version === version);
  const scored = (version: number) => truth.groups.get(version) ?? NaN;
  const requests = (version: number) => scored(version) + (version === known.canary ? WRONG_REQUESTS : 0);
  const name = (version: number) => known.name(version);
  return {
    'Versions loaded': each(
      (version) => `Replicas, model=${model}, provider=cpu, version=${version}`,
      () => 1,
    ),
    'Hashes of the graphs': each(
      (version) => `Replicas, model=${model}, sha256=${sha256}, version=${version}`,
      () => 1,
    ),
    'Versions compared': {
      ...each(row('Requests per second'), (version) => perSecond(requests(version))),
      ...each(row('Drop rate'), (version) => dropRate(of(version))),
      ...each(row('Mean score'), (version) => known.meanScore(of(version))),
      ...each(row('Correlation, worst step'), (version) => known.correlation(of(version))),
    },
    'Requests by version': each(name, (version) => perSecond(requests(version))),
    'Requests without scores by version': each(name, (version) => 1 - scored(version) / requests(version)),
    'Drop rate by version': each(name, (version) => dropRate(of(version))),
    'Mean score by version': each(name, (version) => known.meanScore(of(version))),
    'Inference by version': MEASURED,
    'Correlation by version': known.perPoint('', (samples) => known.correlation(samples)),
    'Loads and refusals': {
      ...each(
        (version) => `loaded ${name(version)}`,
        () => 1,
      ),
      ...each(
        (version) => `refused ${name(version)}`,
        () => 0,
      ),
    },
    'Replicas by device': each(
      (version) => `${name(version)} on cpu`,
      () => 1,
    ),
  };
}

/** The alerts that this traffic must raise; how fast this machine is decides on the one about latency. */
export function expectedAlerts(truth: Truth, service: RunningService): string[] {
  const known = new Known(truth, service);
  const points = [...known.points().values()];
  const isViolated = (samples: readonly Decided[]): boolean =>
    falseDrop(samples) > ALPHA && effectiveSamples(samples.filter(isGoodDrop(service))) >= 5;
  const isLost = (samples: readonly Decided[]): boolean =>
    known.correlation(samples) < 0.2 && effectiveSamples(samples) >= 100;
  return [
    'DiffusionProbeFailingOpen',
    'DiffusionProbeFileRefused',
    ...(points.some(isViolated) ? ['DiffusionProbeFalseDropsAboveAlpha'] : []),
    ...(points.some(isLost) ? ['DiffusionProbeCorrelationLost'] : []),
    ...(points.some((samples) => drift(samples) > 0.25 && samples.length >= 500)
      ? ['DiffusionProbeScoreDrift']
      : []),
  ];
}
