/** Owns the times of one request's stages, as they go into the Server-Timing header, the metrics and the traces. */
import type { Stage, StageInterval } from '../telemetry/tracing.js';

export class StageClock {
  /** When the request arrived, on the clock of performance.now(), ms. */
  readonly startedAt: number;
  readonly #intervals: StageInterval[] = [];
  #lapAt: number;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
    this.#lapAt = startedAt;
  }

  /** Ends a stage that lasted since the one before it. */
  lap(stage: Stage): void {
    const now = performance.now();
    this.#intervals.push({ stage, from: this.#lapAt, to: now });
    this.#lapAt = now;
  }

  /** Takes over stages that were timed elsewhere, one after the other, ms; the next lap begins now. */
  record(durations: Partial<Record<Stage, number>>): void {
    let from = this.#lapAt;
    for (const [stage, ms] of Object.entries(durations)) {
      this.#intervals.push({ stage: stage as Stage, from, to: from + ms });
      from += ms;
    }
    this.#lapAt = performance.now();
  }

  /** Ends the request; its last interval is the total. */
  stop(): number {
    const now = performance.now();
    this.#intervals.push({ stage: 'total', from: this.startedAt, to: now });
    return now;
  }

  /** The stages that took place, in order. */
  intervals(): readonly StageInterval[] {
    return this.#intervals;
  }

  /** The Server-Timing header: https://www.w3.org/TR/server-timing/ */
  header(): string {
    return this.#intervals.map(({ stage, from, to }) => `${stage};dur=${(to - from).toFixed(3)}`).join(', ');
  }
}
