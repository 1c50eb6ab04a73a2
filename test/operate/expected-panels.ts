/** Lists what each panel must show, and which alerts must fire, after the traffic that was sent. */
import { readFileSync } from 'node:fs';

import {
  ALPHA,
  coverage,
  drift,
  dropRate,
  effectiveSamples,
  ExpectedFigures,
  falseDrop,
  isDropped,
  isExplored,
  isGoodDrop,
  isReported,
  perSecond,
  sum,
} from './expected-figures.js';
import { TEXT_BOXES } from './panels.js';
import { CANARY, type Replicas } from './service.js';
import { COUNTS, type DecidedSample, type SentTraffic } from './traffic.js';

/** Values by the names of series; a panel may show more series. */
type SeriesValues = Readonly<Record<string, number>>;

/** The panel must show numbers, but they do not follow from the traffic. */
const ANY_VALUES: SeriesValues = {};
const SECONDS_PER_HOUR = 3600;

type Dashboards = Readonly<Record<string, Readonly<Record<string, SeriesValues>>>>;

/** By the name of the dashboard and the title of the panel. */
export function expectedPanels(sent: SentTraffic, service: Replicas): Dashboards {
  const figures = new ExpectedFigures(sent, service);
  return {
    service: servicePanels(figures),
    decisions: decisionsPanels(figures),
    models: modelsPanels(figures),
  };
}

function servicePanels(figures: ExpectedFigures): Record<string, SeriesValues> {
  const { sent, instance, scored, requests } = figures;
  const refused = COUNTS.invalidRequests + COUNTS.unknownModels;
  const packageJson = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  return {
    'Replicas ready': { ready: 1 },
    'Requests per second': { requests: perSecond(requests) },
    'Requests in this time range': { requests },
    'Answered with scores': { scored: scored / (scored + COUNTS.lateRequests) },
    'Answered within 50 ms': ANY_VALUES,
    'Requests by outcome': {
      scored: perSecond(scored),
      failed_open: perSecond(COUNTS.lateRequests),
      refused: perSecond(refused),
      failed: 0,
      gone: 0,
    },
    'Samples by outcome': {
      scored: perSecond(sent.decided.length),
      refused: perSecond(sent.invalidSamples),
      failed_open: 0,
    },
    'Failed open by reason': {
      deadline: perSecond(COUNTS.lateRequests),
      overloaded: 0,
      unready: 0,
      internal: 0,
    },
    'Problems by code': {
      attention_out_of_range: perSecond(COUNTS.invalidRequests),
      model_not_found: perSecond(COUNTS.unknownModels),
      not_found: perSecond(COUNTS.unknownAddresses),
    },
    'Left the queue without inference': { aborted: 0, deadline: 0, predicted: 0 },
    // The label of a caller appears with its first request, so its first increase is not seen.
    'Scored samples by caller': ANY_VALUES,
    'Over their share by caller': { '127.0.0.1': 0, other: 0 },
    'Time to answer': ANY_VALUES,
    'Slowest hundredth by stage': ANY_VALUES,
    'Time in receive': { '+Inf': scored + refused },
    'Time in decode': { '+Inf': scored + COUNTS.invalidRequests },
    'Time in queue': { '+Inf': scored },
    'Time in inference': { '+Inf': scored },
    'Time in decision': { '+Inf': scored },
    'Time in total': { '+Inf': requests },
    'Queue in use': { [instance]: 0 },
    'Samples waiting': { [instance]: 0 },
    'Samples per inference': ANY_VALUES,
    Replicas: {
      [`Requests per second, instance=${instance}`]: perSecond(requests),
      [`Ready, instance=${instance}`]: 1,
    },
    'Build of each replica': {
      [`Running, instance=${instance}, node=${process.version}, version=${packageJson.version}`]: 1,
    },
    'Operator files refused': { [`policies at ${instance}`]: 1, [`feedback_keys at ${instance}`]: 0 },
    'Workers replaced': { [instance]: 0 },
    'CPU in use': ANY_VALUES,
    'Memory in use': ANY_VALUES,
    'Event loop lag': ANY_VALUES,
  };
}

function decisionsPanels(figures: ExpectedFigures): Record<string, SeriesValues> {
  const { sent, versions, totalSteps } = figures;
  const { decided } = sent;
  const dropped = decided.filter(isDropped);
  const saved = sum(dropped.map(({ step }) => totalSteps - step));
  const lost = sum(dropped.map(({ step }) => step));
  const falseDropRows = (
    column: string,
    value: (samples: readonly DecidedSample[]) => number,
  ): SeriesValues =>
    Object.fromEntries(
      [...figures.points().values()].map((samples) => [
        `${column}, alpha=${ALPHA}, model=${figures.model}, policy=max_false_drop, step=${samples[0]?.step}, version=${samples[0]?.version}`,
        value(samples),
      ]),
    );
  const secondsSaved = TEXT_BOXES.step_seconds * saved - sum([...sent.waitedSeconds.values()]);
  return {
    Decisions: { decisions: decided.length },
    'Drop rate': { dropped: dropped.length / decided.length },
    'Denoiser calls saved': { saved },
    'Share of the dropped samples’ calls saved': { saved: saved / (saved + lost) },
    'GPU time saved': { saved: secondsSaved / SECONDS_PER_HOUR },
    'Money saved': { saved: (secondsSaved / SECONDS_PER_HOUR) * TEXT_BOXES.price_per_hour },
    'Denoiser calls saved and lost': { saved: perSecond(saved), lost: perSecond(lost) },
    'Qualities reported': { samples: decided.filter(isReported).length },
    'Decisions per second': {
      keep: perSecond(decided.length - dropped.length),
      drop: perSecond(dropped.length),
    },
    'Decisions by reason': figures.byReason(),
    'Drop rate by decision point': figures.perPoint('', dropRate),
    'False drops by policy': {
      ...falseDropRows('Promise', (samples) => {
        const evidence = effectiveSamples(samples.filter(isGoodDrop(figures.service)));
        return falseDrop(samples) <= ALPHA ? 0 : evidence >= 5 ? 2 : 1;
      }),
      ...falseDropRows('Estimate', falseDrop),
      ...falseDropRows('Estimate above alpha by', (samples) => falseDrop(samples) - ALPHA),
      ...falseDropRows('Good samples dropped', (samples) =>
        effectiveSamples(samples.filter(isGoodDrop(figures.service))),
      ),
    },
    'False drops above alpha': figures.perPoint(
      `max_false_drop ${ALPHA}, `,
      (samples) => falseDrop(samples) - ALPHA,
    ),
    'Correlation of score and quality': figures.perPoint('', (samples) => figures.correlation(samples)),
    'Weight of the evidence': figures.perPoint('', effectiveSamples),
    'Feedback coverage': {
      ...figures.perPoint('kept, ', (samples) => coverage(samples.filter((sample) => !isExplored(sample)))),
      ...figures.perPoint('explored, ', (samples) => coverage(samples.filter(isExplored))),
    },
    'Feedback delay': ANY_VALUES,
    'Receipts refused by reason': {
      malformed: perSecond(COUNTS.malformedReceipts),
      repeated: perSecond(COUNTS.repeatedReceipts),
      foreign: 0,
      tampered: 0,
      expired: 0,
    },
    'Feedback that teaches little': {
      'clipped quality': perSecond(COUNTS.clippedQualities),
      'clipped score': 0,
      unweighted: 0,
    },
    'Drift of the scores': figures.perPoint('', drift),
    'Scores by tenth of the calibration': figures.tenths(),
    Scores: { '+Inf': decided.length },
    // All are zero, and eight of them are shown.
    'Foreign conditions': ANY_VALUES,
    'Time that backends waited': Object.fromEntries(
      versions.map((version) => [figures.name(version), perSecond(sent.waitedSeconds.get(version) ?? NaN)]),
    ),
  };
}

function modelsPanels(figures: ExpectedFigures): Record<string, SeriesValues> {
  const { sent, versions, model, sha256 } = figures;
  type OfVersion<Value> = (version: number) => Value;
  const each = (name: OfVersion<string>, value: OfVersion<number> | number): SeriesValues =>
    Object.fromEntries(versions.map((one) => [name(one), typeof value === 'number' ? value : value(one)]));
  const row = (column: string) => (version: number) => `${column}, model=${model}, version=${version}`;
  const of = (version: number) => sent.decided.filter((sample) => sample.version === version);
  const scored = (version: number) => COUNTS.groups.get(version) ?? NaN;
  const requests = (version: number) => scored(version) + (version === CANARY ? COUNTS.invalidRequests : 0);
  const name = (version: number) => figures.name(version);
  const requestRate = (version: number) => perSecond(requests(version));
  const versionDropRate = (version: number) => dropRate(of(version));
  const meanScore = (version: number) => figures.meanScore(of(version));
  return {
    'Versions loaded': each((one) => `Replicas, model=${model}, provider=cpu, version=${one}`, 1),
    'Hashes of the graphs': each((one) => `Replicas, model=${model}, sha256=${sha256}, version=${one}`, 1),
    'Versions compared': {
      ...each(row('Requests per second'), requestRate),
      ...each(row('Drop rate'), versionDropRate),
      ...each(row('Mean score'), meanScore),
      ...each(row('Correlation, worst step'), (version) => figures.correlation(of(version))),
    },
    'Requests by version': each(name, requestRate),
    'Requests without scores by version': each(name, (version) => 1 - scored(version) / requests(version)),
    'Drop rate by version': each(name, versionDropRate),
    'Mean score by version': each(name, meanScore),
    'Inference by version': ANY_VALUES,
    'Correlation by version': figures.perPoint('', (samples) => figures.correlation(samples)),
    'Loads and refusals': {
      ...each((version) => `loaded ${name(version)}`, 1),
      ...each((version) => `refused ${name(version)}`, 0),
    },
    'Replicas by device': each((version) => `${name(version)} on cpu`, 1),
  };
}

/** Without the alert about latency, which depends on the speed of the machine. */
export function expectedAlerts(sent: SentTraffic, service: Replicas): string[] {
  const figures = new ExpectedFigures(sent, service);
  const points = [...figures.points().values()];
  const decisionAlerts: Readonly<Record<string, (samples: readonly DecidedSample[]) => boolean>> = {
    DiffusionProbeFalseDropsAboveAlpha: (samples) =>
      falseDrop(samples) > ALPHA && effectiveSamples(samples.filter(isGoodDrop(service))) >= 5,
    DiffusionProbeCorrelationLost: (samples) =>
      figures.correlation(samples) < 0.2 && effectiveSamples(samples) >= 100,
    DiffusionProbeScoreDrift: (samples) => drift(samples) > 0.25 && samples.length >= 500,
  };
  const names = Object.keys(decisionAlerts).filter((name) =>
    points.some((samples) => decisionAlerts[name]?.(samples)),
  );
  return ['DiffusionProbeFailingOpen', 'DiffusionProbeFileRefused', ...names];
}
