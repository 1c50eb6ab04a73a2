/** The size limits of a probe's batches and the cost of its runs, both from measurements. See docs/adr/0002-batch-plan.md. */

/** No batch is larger unless the operator sets a limit. */
const MAX_BATCH = 64;
/** The share of the time per sample that a larger batch must save, since all requests in it wait for its end. */
const MIN_GAIN = 0.05;
/** The time that a run costs besides itself in a busy service, for messages and answers, ms. The warm-up cannot measure it. */
const OVERHEAD_MS = 0.4;
/** A request of up to this multiple of the best size is not cut: that would cost a second run and save little. */
const WHOLE_REQUEST_FACTOR = 2;
/** No batch is planned that takes longer, ms, since all requests in it wait for its end. */
const MAX_RUN_MS = 20;
const MAX_ROUNDS = 4;
/** No further round begins after this time in runs, ms. */
const MAX_MEASURING_MS = 125;
/** The weight of one run in the running mean of the speed factor. */
const LEARNING_RATE = 0.1;
/** The largest factor by which one run may differ from its prediction; a single disturbed run must not dominate. */
const MAX_DEVIATION = 4;

/** A batch of `samples` copies of one sample took `ms`; `tokens` are those of all of them. */
export interface Measurement {
  readonly samples: number;
  readonly tokens: number;
  readonly ms: number;
}

/**
 * Runs batches of 1, 2, 4 ... samples in several rounds. The fastest run of each size counts, because a disturbance only
 * makes a run slower, and the sizes alternate, because a disturbance often lasts longer than all runs of one size.
 * @param run runs one batch of the given samples and resolves with how long it took, ms. @param tokens of each sample.
 * @param maxSamples the operator's own limit, in place of the measured size.
 */
export async function measureBatches(
  run: (samples: number) => Promise<number>,
  tokens: number,
  maxSamples?: number,
): Promise<Measurement[]> {
  const fastest = new Map<number, number>();
  let spentMs = 0;
  for (let round = 0; round < MAX_ROUNDS && spentMs < MAX_MEASURING_MS; round += 1) {
    let expectedMs = 0;
    let lastMs: number | undefined;
    for (const samples of batchSizes(maxSamples ?? MAX_BATCH)) {
      if (maxSamples === undefined && expectedMs > MAX_RUN_MS) break;
      // The first run of a size is cold.
      if (!fastest.has(samples)) await run(samples);
      const ms = await run(samples);
      spentMs += ms;
      const best = Math.min(ms, fastest.get(samples) ?? Infinity);
      fastest.set(samples, best);
      // Each size is twice the one before, so on a line the time grows by twice as much.
      if (lastMs !== undefined) expectedMs = best + 2 * Math.max(0, best - lastMs);
      lastMs = best;
    }
  }
  return [...fastest].map(([samples, ms]) => ({ samples, tokens: samples * tokens, ms }));
}

/**
 * How large batches are, and how long their runs take: a line over the padded tokens of a batch, which are its samples times
 * the tokens of its longest, times a factor for the machine's current speed that follows every run.
 */
export class BatchPlan {
  /** The smallest size whose time per sample is close to the best, or the operator's limit. */
  readonly bestSamples: number;
  /** Samples in one batch at most. */
  readonly maxSamples: number;
  /** Padded tokens in one batch at most; undefined when the operator has set the size. */
  readonly maxPaddedTokens: number | undefined;
  /** As measured at warm-up. */
  readonly msPerPaddedToken: number;
  readonly msPerRun: number;
  readonly measurements: readonly Measurement[];
  #pace = 1;

  /**
   * Fits the line by the Theil-Sen estimator, the median of the slopes between all pairs, so that a few disturbed
   * measurements do not change it. Slope and base are never negative. https://en.wikipedia.org/wiki/Theil%E2%80%93Sen_estimator
   * @param measurements at least one. @param maxSamples as they were measured with.
   */
  constructor(measurements: readonly Measurement[], maxSamples?: number) {
    this.measurements = measurements;
    const best = bestOf(measurements);
    this.bestSamples = maxSamples ?? best.samples;
    this.maxSamples = maxSamples ?? MAX_BATCH;
    this.maxPaddedTokens = maxSamples === undefined ? best.tokens : undefined;
    const slopes = measurements.flatMap((from, index) =>
      measurements.slice(index + 1).map((to) => (to.ms - from.ms) / (to.tokens - from.tokens)),
    );
    // A single point cannot separate the base from the slope; then all of its time counts as slope.
    const steepest = median(measurements.map(({ tokens, ms }) => ms / tokens));
    const slope = slopes.length === 0 ? steepest : Math.min(steepest, Math.max(0, median(slopes)));
    this.msPerPaddedToken = slope;
    this.msPerRun = Math.max(0, median(measurements.map(({ tokens, ms }) => ms - slope * tokens)));
  }

  /** How much slower runs are now than at warm-up: 2 means twice the time. */
  get pace(): number {
    return this.#pace;
  }

  /** The sizes of batch that a thread runs once before it serves. */
  get warmSizes(): number[] {
    return batchSizes(Math.min(this.maxSamples, this.bestSamples * WHOLE_REQUEST_FACTOR));
  }

  /** The samples of the given tokens that fit into one batch, at least 1. */
  samplesThatFit(tokens: number, factor = 1): number {
    const { maxSamples, maxPaddedTokens = Infinity } = this;
    return Math.max(1, Math.min(maxSamples, Math.floor((maxPaddedTokens * factor) / tokens)));
  }

  /** The parts that a request is cut into. */
  partsOf(samples: number, tokens: number): number {
    const isWhole = samples <= this.samplesThatFit(tokens, WHOLE_REQUEST_FACTOR);
    return isWhole ? 1 : Math.ceil(samples / this.samplesThatFit(tokens));
  }

  /** How many full batches so much is, as a fraction. */
  batchesOf(samples: number, tokens: number): number {
    return Math.max(tokens / (this.maxPaddedTokens ?? Infinity), samples / this.maxSamples);
  }

  /** The expected time of the given padded tokens in the given number of runs, ms. */
  predict(paddedTokens: number, runs = 1): number {
    return this.#pace * (this.msPerPaddedToken * paddedTokens + this.msPerRun * runs);
  }

  /** Updates the speed factor with the time that a run took, ms. */
  learn(paddedTokens: number, ms: number): void {
    const deviation = ms / this.predict(paddedTokens);
    if (!Number.isFinite(deviation)) return;
    const bounded = Math.min(MAX_DEVIATION, Math.max(1 / MAX_DEVIATION, deviation));
    this.#pace *= 1 + LEARNING_RATE * (bounded - 1);
  }
}

/** 1, 2, 4 ... and the largest itself, so that no request is the first to need that size. */
function batchSizes(largest: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < largest; size *= 2) sizes.push(size);
  return [...sizes, largest];
}

/** A single sample is never too long: it must run in any case. */
function bestOf(measurements: readonly Measurement[]): Measurement {
  const perSample = ({ samples, ms }: Measurement): number => (ms + OVERHEAD_MS) / samples;
  const allowed = measurements.filter(({ samples, ms }) => samples === 1 || ms <= MAX_RUN_MS);
  const least = Math.min(...allowed.map(perSample));
  return allowed.find((measurement) => perSample(measurement) <= least * (1 + MIN_GAIN)) ?? measurements[0]!;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  const [below = NaN, above = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (below + above) / 2;
}
