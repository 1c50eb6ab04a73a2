/** Owns that everything which was started is stopped again, however the run ends. */

interface Stoppable {
  stop(): Promise<void>;
}

export class Cleanup {
  readonly #started: Stoppable[] = [];
  #isOver = false;

  /** Gives what was started, and stops it in the end. */
  async keep<Started extends Stoppable>(starting: Started | Promise<Started>): Promise<Started> {
    const started = await starting;
    this.#started.push(started);
    // It became ready only after the run had been broken off.
    if (this.#isOver) await started.stop();
    return started;
  }

  /** Stops everything, the last first. */
  async run(): Promise<void> {
    this.#isOver = true;
    for (const started of this.#started.toReversed()) await started.stop();
  }
}
