/** Owns the times of one request's stages, as they go into the Server-Timing header and the metrics. */
import { type Stage, STAGES } from '../telemetry/stages.js';

export class StageClock {
  readonly #startedAt: number;
  readonly #durations = new Map<Stage, number>();
  #lapAt: number;

  /** @param startedAt when the request arrived, on the clock of performance.now(), ms. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
    this.#lapAt = startedAt;
  }

  /** Ends a stage that lasted since the one before it. */
  lap(stage: Stage): void {
    const now = performance.now();
    this.#durations.set(stage, now - this.#lapAt);
    this.#lapAt = now;
  }

  /** Takes over stages that were timed elsewhere, ms; the next lap begins now. */
  record(durations: Partial<Record<Stage, number>>): void {
    for (const [stage, ms] of Object.entries(durations)) this.#durations.set(stage as Stage, ms);
    this.#lapAt = performance.now();
  }

  /** Ends the request; the time it took, ms. */
  stop(): number {
    const total = performance.now() - this.#startedAt;
    this.#durations.set('total', total);
    return total;
  }

  /** The stages that took place, in order, ms. */
  durations(): [Stage, number][] {
    return STAGES.flatMap((stage): [Stage, number][] => {
      const ms = this.#durations.get(stage);
      return ms === undefined ? [] : [[stage, ms]];
    });
  }

  /** The Server-Timing header: https://www.w3.org/TR/server-timing/ */
  header(): string {
    return this.durations()
      .map(([stage, ms]) => `${stage};dur=${ms.toFixed(3)}`)
      .join(', ');
  }
}
