/**
 * Owns what a run of a probe costs: a line over the padded tokens of its batch, ms = slope · samples · tokens + base.
 * Its form is measured when the probe is warmed up; how fast the machine is now is learnt from every run since.
 */

/** How much of what a run shows of the machine's speed is taken over: some ten runs make a new picture. */
const LEARNING_RATE = 0.1;
/** One run that the machine was interrupted in must not turn the picture over. */
const LARGEST_SURPRISE = 4;

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
   * The line through most of the measurements (Theil and Sen: the median of the slopes between all pairs), so that a few
   * which the machine was interrupted in do not bend it. It falls nowhere and begins at zero or above.
   */
  static through(measurements: readonly Measurement[], tokens: number): CostModel {
    const points = measurements.map(({ samples, ms }) => ({ x: samples * tokens, y: ms }));
    const slopes = points.flatMap((from, index) =>
      points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x)),
    );
    // One point says nothing of the base.
    const steepest = median(points.map(({ x, y }) => y / x));
    const slope = slopes.length === 0 ? steepest : Math.min(steepest, Math.max(0, median(slopes)));
    return new CostModel(slope, Math.max(0, median(points.map(({ x, y }) => y - slope * x))));
  }

  /** How much slower runs are now than at warm-up: 2 is twice the time. */
  get pace(): number {
    return this.#pace;
  }

  /** What so many padded tokens cost in so many runs, ms. */
  predict(paddedTokens: number, runs = 1): number {
    return this.#pace * (this.slopeMs * paddedTokens + this.baseMs * runs);
  }

  /** Takes in what a run did cost, ms. */
  learn(paddedTokens: number, ms: number): void {
    const surprise = ms / this.predict(paddedTokens);
    if (!Number.isFinite(surprise)) return;
    const bounded = Math.min(LARGEST_SURPRISE, Math.max(1 / LARGEST_SURPRISE, surprise));
    this.#pace *= 1 + LEARNING_RATE * (bounded - 1);
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  const [below = NaN, above = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (below + above) / 2;
}
