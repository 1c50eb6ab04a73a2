/** Owns the names of the stages of /score, as metrics, spans and the Server-Timing header call them. */

export const STAGES = ['receive', 'decode', 'queue', 'inference', 'decision', 'total'] as const;

export type Stage = (typeof STAGES)[number];

/** A stage between two moments on the clock of performance.now(), ms. */
export interface StageInterval {
  readonly stage: Stage;
  readonly from: number;
  readonly to: number;
}
