/** Owns the truth about the traffic in the terms of the panels: grouped, named and weighted as they do it. */
import { WINDOW_SECONDS } from './prometheus.js';
import { EXPLORE_RATE, type RunningService } from './service.js';
import { type Decided, LATE_REQUESTS, type Truth, UNKNOWN_MODELS, WRONG_REQUESTS } from './traffic.js';

const TENTHS = 10;
/** As the recording rule has it. */
const SMALLEST_SHARE = 0.0001;

/** The truth, grouped and named as the panels do. */
export class Known {
  readonly truth: Truth;
  readonly instance: string;
  readonly model: string;
  readonly sha256: string;
  readonly totalSteps: number;
  readonly versions: readonly number[];
  readonly scored: number;
  readonly requests: number;
  readonly #range: readonly [number, number];

  constructor(truth: Truth, { origin, manifest }: RunningService) {
    this.truth = truth;
    this.instance = new URL(origin).host;
    this.model = manifest.name;
    this.sha256 = manifest.files['model.onnx'] ?? '';
    this.totalSteps = manifest.capture.total_steps;
    this.versions = [...truth.groups.keys()];
    this.scored = sum([...truth.groups.values()]);
    this.requests = this.scored + LATE_REQUESTS + WRONG_REQUESTS + UNKNOWN_MODELS;
    this.#range = manifest.metric.range;
  }

  get canary(): number {
    return Math.max(...this.versions);
  }

  name(version: number): string {
    return `${this.model}@${version}`;
  }

  /** Samples by the name of their decision point. */
  points(): Map<string, Decided[]> {
    return grouped(this.truth.decided, ({ version, step }) => `${this.name(version)}, step ${step}`);
  }

  perPoint(prefix: string, value: (samples: readonly Decided[]) => number): Record<string, number> {
    return Object.fromEntries(
      [...this.points()].map(([point, samples]) => [`${prefix}${point}`, value(samples)]),
    );
  }

  byReason(): Record<string, number> {
    const kinds = grouped(
      this.truth.decided,
      ({ result }) => `${result.reason}, override ${result.override ?? 'none'}`,
    );
    return Object.fromEntries([...kinds].map(([kind, samples]) => [kind, perSecond(samples.length)]));
  }

  meanScore(samples: readonly Decided[]): number {
    return sum(samples.map(({ result }) => this.#share(result.score))) / samples.length;
  }

  /** Pearson's, each sample with its weight. */
  correlation(samples: readonly Decided[]): number {
    const reported = samples.filter(isReported);
    const total = sum(reported.map(weightOf));
    const mean = (of: (sample: Decided) => number): number =>
      sum(reported.map((sample) => weightOf(sample) * of(sample))) / total;
    const score = ({ result }: Decided): number => this.#share(result.score);
    const quality = (sample: Decided): number => this.#share(sample.quality ?? NaN);
    const covariance = mean((sample) => score(sample) * quality(sample)) - mean(score) * mean(quality);
    const variance = (of: (sample: Decided) => number): number =>
      mean((sample) => of(sample) ** 2) - mean(of) ** 2;
    return covariance / Math.sqrt(variance(score) * variance(quality));
  }

  /** The share of all samples in each tenth of the calibration scores, by its percentiles. */
  tenths(): Record<string, number> {
    const { decided } = this.truth;
    return Object.fromEntries(
      sharesByTenth(decided).map((share, tenth) => [`${tenth * TENTHS}–${(tenth + 1) * TENTHS}`, share]),
    );
  }

  #share(value: number): number {
    const [low, high] = this.#range;
    return Math.min(1, Math.max(0, (value - low) / (high - low)));
  }
}

export function isDropped({ result }: Decided): boolean {
  return result.decision === 'drop';
}

export function isExplored({ result }: Decided): boolean {
  return result.override === 'explore';
}

export function isReported({ quality }: Decided): boolean {
  return quality !== undefined;
}

/** The reported qualities are the metric's ends, or beyond: what is above the middle is good. */
function isGood({ quality }: Decided): boolean {
  return quality !== undefined && quality > 0.5;
}

export function isGoodDrop({ manifest }: RunningService): (sample: Decided) => boolean {
  return ({ result, quality }) =>
    result.wouldDrop && quality !== undefined && quality >= manifest.metric.good_at;
}

function weightOf(sample: Decided): number {
  return isExplored(sample) ? 1 / EXPLORE_RATE : 1;
}

export function dropRate(samples: readonly Decided[]): number {
  return samples.filter(isDropped).length / samples.length;
}

export function falseDrop(samples: readonly Decided[]): number {
  const good = samples.filter(isGood);
  return sum(good.filter(({ result }) => result.wouldDrop).map(weightOf)) / sum(good.map(weightOf));
}

export function effectiveSamples(samples: readonly Decided[]): number {
  const weights = samples.filter(isReported).map(weightOf);
  return sum(weights) ** 2 / sum(weights.map((weight) => weight ** 2));
}

export function coverage(samples: readonly Decided[]): number {
  const finished = samples.filter((sample) => !isDropped(sample));
  return finished.filter(isReported).length / finished.length;
}

/** The population stability index against equal tenths. */
export function drift(samples: readonly Decided[]): number {
  const shares = sharesByTenth(samples).map((share) => Math.max(SMALLEST_SHARE, share));
  return sum(shares.map((share) => (share - 1 / TENTHS) * Math.log(share * TENTHS)));
}

function sharesByTenth(samples: readonly Decided[]): number[] {
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
