/**
 * Owns how much later than predicted things came lately, as TCP keeps account of its round trips: a running mean
 * and a running deviation. https://www.rfc-editor.org/rfc/rfc6298#section-2
 */

const MEAN_GAIN = 1 / 8;
const DEVIATION_GAIN = 1 / 4;
/** Next to nothing comes later than that. */
const DEVIATIONS = 4;

export class PredictionMargin {
  readonly #deviations: number;
  #mean = 0;
  #deviation = 0;

  /** @param deviations beyond the mean that the margin allows for: the more, the less comes later. */
  constructor(deviations = DEVIATIONS) {
    this.#deviations = deviations;
  }

  /** Takes in how much later than predicted something came, ms; negative if earlier. */
  learn(lateMs: number): void {
    this.#deviation += DEVIATION_GAIN * (Math.abs(lateMs - this.#mean) - this.#deviation);
    this.#mean += MEAN_GAIN * (lateMs - this.#mean);
  }

  /** How much later than predicted something may well come, ms. */
  get marginMs(): number {
    return Math.max(0, this.#mean + this.#deviations * this.#deviation);
  }
}
