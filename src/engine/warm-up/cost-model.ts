/**
 * Predicts the time of a run as a line over the padded tokens of its batch: ms = slope · samples · tokens + base.
 * The line is fitted to the measurements of the warm-up; a factor for the machine's current speed follows every run since.
 */

/** The weight of one run in the running mean of the speed factor. */
const LEARNING_RATE = 0.1;
/** The largest factor by which one run may differ from its prediction; a single disturbed run must not dominate. */
const MAX_DEVIATION = 4;

/** A batch of `samples` copies of one sample took `ms`. */
export interface Measurement {
  readonly samples: number;
  readonly ms: number;
}

export class CostModel {
  /** Per padded token, as measured at warm-up, ms. */
  readonly slopeMs: number;
  /** Per run, as measured at warm-up, ms. */
  readonly baseMs: number;
  #pace = 1;

  constructor(slopeMs: number, baseMs: number) {
    this.slopeMs = slopeMs;
    this.baseMs = baseMs;
  }

  /**
   * Fits the line by the Theil-Sen estimator, the median of the slopes between all pairs, so that a few disturbed
   * measurements do not change it. Slope and base are never negative. https://en.wikipedia.org/wiki/Theil%E2%80%93Sen_estimator
   */
  static fit(measurements: readonly Measurement[], tokens: number): CostModel {
    const points = measurements.map(({ samples, ms }) => ({ x: samples * tokens, y: ms }));
    const slopes = points.flatMap((from, index) =>
      points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x)),
    );
    // A single point cannot separate the base from the slope; then all of its time counts as slope.
    const steepest = median(points.map(({ x, y }) => y / x));
    const slope = slopes.length === 0 ? steepest : Math.min(steepest, Math.max(0, median(slopes)));
    return new CostModel(slope, Math.max(0, median(points.map(({ x, y }) => y - slope * x))));
  }

  /** How much slower runs are now than at warm-up: 2 means twice the time. */
  get pace(): number {
    return this.#pace;
  }

  /** The expected time of the given padded tokens in the given number of runs, ms. */
  predict(paddedTokens: number, runs = 1): number {
    return this.#pace * (this.slopeMs * paddedTokens + this.baseMs * runs);
  }

  /** Updates the speed factor with the time that a run took, ms. */
  learn(paddedTokens: number, ms: number): void {
    const deviation = ms / this.predict(paddedTokens);
    if (!Number.isFinite(deviation)) return;
    const bounded = Math.min(MAX_DEVIATION, Math.max(1 / MAX_DEVIATION, deviation));
    this.#pace *= 1 + LEARNING_RATE * (bounded - 1);
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  const [below = NaN, above = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (below + above) / 2;
}
