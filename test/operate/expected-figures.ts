/** Computes figures from the traffic that was sent, grouped, named and weighted as the panels show them. */
import { WINDOW_SECONDS } from './prometheus.js';
import type { Replicas } from './service.js';
import { COUNTS, type DecidedSample, type SentTraffic } from './traffic.js';

/** High, so that many samples are dropped and many of those explored. */
export const ALPHA = 0.6;
export const EXPLORE_RATE = 0.5;

const TENTHS = 10;
/** The lower limit of a share in the recording rule. */
const MIN_SHARE = 0.0001;

export class ExpectedFigures {
  readonly sent: SentTraffic;
  readonly service: Replicas;
  readonly instance: string;
  readonly model: string;
  readonly sha256: string;
  readonly totalSteps: number;
  readonly versions: readonly number[];
  readonly scored: number;
  readonly requests: number;
  readonly #range: readonly [number, number];

  constructor(sent: SentTraffic, service: Replicas) {
    const {
      origins: [origin = ''],
      manifest,
    } = service;
    this.sent = sent;
    this.service = service;
    this.instance = new URL(origin).host;
    this.model = manifest.name;
    this.sha256 = manifest.files['model.onnx'] ?? '';
    this.totalSteps = manifest.total_steps;
    this.versions = [...COUNTS.groups.keys()];
    this.scored = sum([...COUNTS.groups.values()]);
    this.requests = this.scored + COUNTS.lateRequests + COUNTS.invalidRequests + COUNTS.unknownModels;
    this.#range = manifest.metric.range;
  }

  name(version: number): string {
    return `${this.model}@${version}`;
  }

  /** The samples of each decision point, by the name that the panels give it. */
  points(): Map<string, DecidedSample[]> {
    return grouped(this.sent.decided, ({ version, step }) => `${this.name(version)}, step ${step}`);
  }

  perPoint(prefix: string, value: (samples: readonly DecidedSample[]) => number): Record<string, number> {
    return Object.fromEntries(
      [...this.points()].map(([point, samples]) => [`${prefix}${point}`, value(samples)]),
    );
  }

  byReason(): Record<string, number> {
    const kinds = grouped(
      this.sent.decided,
      ({ result }) => `${result.reason} (${result.override ?? 'none'})`,
    );
    return Object.fromEntries([...kinds].map(([kind, samples]) => [kind, perSecond(samples.length)]));
  }

  meanScore(samples: readonly DecidedSample[]): number {
    return sum(samples.map(({ result }) => this.#share(result.score))) / samples.length;
  }

  /** Pearson's correlation of score and quality, weighted. */
  correlation(samples: readonly DecidedSample[]): number {
    const reported = samples.filter(isReported);
    const total = sum(reported.map(weightOf));
    const mean = (of: (sample: DecidedSample) => number): number =>
      sum(reported.map((sample) => weightOf(sample) * of(sample))) / total;
    const score = ({ result }: DecidedSample): number => this.#share(result.score);
    const quality = (sample: DecidedSample): number => this.#share(sample.quality ?? NaN);
    const covariance = mean((sample) => score(sample) * quality(sample)) - mean(score) * mean(quality);
    const variance = (of: (sample: DecidedSample) => number): number =>
      mean((sample) => of(sample) ** 2) - mean(of) ** 2;
    return covariance / Math.sqrt(variance(score) * variance(quality));
  }

  /** The share of all samples in each tenth of the calibration's scores. */
  tenths(): Record<string, number> {
    const { decided } = this.sent;
    return Object.fromEntries(
      sharesByTenth(decided).map((share, tenth) => [`${tenth * TENTHS}–${(tenth + 1) * TENTHS}`, share]),
    );
  }

  #share(value: number): number {
    const [low, high] = this.#range;
    return Math.min(1, Math.max(0, (value - low) / (high - low)));
  }
}

export function isDropped({ result }: DecidedSample): boolean {
  return result.decision === 'drop';
}

export function isExplored({ result }: DecidedSample): boolean {
  return result.override === 'explore';
}

export function isReported({ quality }: DecidedSample): boolean {
  return quality !== undefined;
}

/** The reported qualities are at the ends of the metric's range or beyond it. */
function isGood({ quality }: DecidedSample): boolean {
  return quality !== undefined && quality > 0.5;
}

export function isGoodDrop({ manifest }: Replicas): (sample: DecidedSample) => boolean {
  return ({ result, quality }) =>
    result.wouldDrop && quality !== undefined && quality >= manifest.metric.good_at;
}

function weightOf(sample: DecidedSample): number {
  return isExplored(sample) ? 1 / EXPLORE_RATE : 1;
}

export function dropRate(samples: readonly DecidedSample[]): number {
  return samples.filter(isDropped).length / samples.length;
}

export function falseDrop(samples: readonly DecidedSample[]): number {
  const good = samples.filter(isGood);
  return sum(good.filter(({ result }) => result.wouldDrop).map(weightOf)) / sum(good.map(weightOf));
}

export function effectiveSamples(samples: readonly DecidedSample[]): number {
  const weights = samples.filter(isReported).map(weightOf);
  return sum(weights) ** 2 / sum(weights.map((weight) => weight ** 2));
}

/** The share of finished samples whose quality was reported. */
export function coverage(samples: readonly DecidedSample[]): number {
  const finished = samples.filter((sample) => !isDropped(sample));
  return finished.filter(isReported).length / finished.length;
}

/** The population stability index against equal shares. */
export function drift(samples: readonly DecidedSample[]): number {
  const shares = sharesByTenth(samples).map((share) => Math.max(MIN_SHARE, share));
  return sum(shares.map((share) => (share - 1 / TENTHS) * Math.log(share * TENTHS)));
}

function sharesByTenth(samples: readonly DecidedSample[]): number[] {
  return Array.from({ length: TENTHS }, (_, tenth) => {
    const inside = samples.filter(
      ({ result }) => Math.min(TENTHS - 1, Math.floor((result.percentile ?? NaN) / TENTHS)) === tenth,
    );
    return inside.length / samples.length;
  });
}

export function perSecond(count: number): number {
  return count / WINDOW_SECONDS;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function grouped<Value>(values: readonly Value[], name: (value: Value) => string): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) groups.set(name(value), [...(groups.get(name(value)) ?? []), value]);
  return groups;
}
