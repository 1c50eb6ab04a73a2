/** Owns the names of the stages of /score, as metrics, spans and the Server-Timing header call them. */

export const STAGES = ['receive', 'decode', 'queue', 'inference', 'decision', 'total'] as const;

export type Stage = (typeof STAGES)[number];
