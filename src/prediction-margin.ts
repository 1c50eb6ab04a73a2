/**
 * Tracks how much later than predicted things happen, as TCP tracks round-trip times: by a running mean and a running mean
 * deviation. https://www.rfc-editor.org/rfc/rfc6298#section-2
 */

const MEAN_GAIN = 1 / 8;
const DEVIATION_GAIN = 1 / 4;
/** How many deviations beyond the mean the margin covers. */
const DEVIATIONS = 4;

export class PredictionMargin {
  #mean = 0;
  #deviation = 0;

  /** Records how much later than predicted something happened, in any one unit; negative when it was earlier. */
  learn(lateness: number): void {
    this.#deviation += DEVIATION_GAIN * (Math.abs(lateness - this.#mean) - this.#deviation);
    this.#mean += MEAN_GAIN * (lateness - this.#mean);
  }

  /** What to add to a prediction so that it is rarely too early, in the unit of what was learned; at least 0. */
  get margin(): number {
    return Math.max(0, this.#mean + DEVIATIONS * this.#deviation);
  }
}
