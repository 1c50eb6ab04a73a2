/** What the service keeps about one request to /score while it answers it. */
import type { Policy } from '../decision/policy.js';
import type { ServedProbe } from '../engine/types.js';
import type { DecisionPoint } from '../probe/manifest.js';
import type { RequestTrace, Stage, StageInterval } from '../telemetry/tracing.js';
import type { ConditionsFindings } from './score-conditions.js';
import type { RequestDeadline } from './request-deadline.js';

export interface ScoreContext {
  readonly deadline: RequestDeadline;
  readonly clock: StageClock;
  /** Undefined when the request is not traced. */
  readonly trace: RequestTrace | undefined;
  readonly findings: Findings;
}

/** The results of the stages so far, so that a failure can be reported with them. */
export interface Findings {
  probe?: ServedProbe;
  policy?: Policy;
  point?: DecisionPoint;
  samples?: number;
  conditions?: ConditionsFindings;
}

/** Measures the stages of one request, for the Server-Timing header, the metrics and the traces. */
export class StageClock {
  /** When the request arrived, on the clock of performance.now(), ms. */
  readonly startedAt: number;
  /** Set by stop(). */
  endedAt = NaN;
  readonly #intervals: StageInterval[] = [];
  #stageStartedAt: number;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
    this.#stageStartedAt = startedAt;
  }

  /** Ends a stage, which began when the one before it ended. */
  endStage(stage: Stage): void {
    const now = performance.now();
    this.#intervals.push({ stage, from: this.#stageStartedAt, to: now });
    this.#stageStartedAt = now;
  }

  /** Adds a stage that was measured elsewhere, ms. The next stage begins at its end. */
  addStage(stage: Stage, ms: number): void {
    const from = this.#stageStartedAt;
    this.#stageStartedAt = from + ms;
    this.#intervals.push({ stage, from, to: this.#stageStartedAt });
  }

  /** Ends the request; its last interval is the total. */
  stop(): void {
    this.endedAt = performance.now();
    this.#intervals.push({ stage: 'total', from: this.startedAt, to: this.endedAt });
  }

  /** The stages so far, in order. */
  intervals(): readonly StageInterval[] {
    return this.#intervals;
  }

  /** The Server-Timing header: https://www.w3.org/TR/server-timing/ */
  header(): string {
    return this.#intervals.map(({ stage, from, to }) => `${stage};dur=${(to - from).toFixed(3)}`).join(', ');
  }
}
