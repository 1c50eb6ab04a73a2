/** Owns the one way in which a probe on disk is turned down: with a sentence an operator can act on. */

/** A probe that must not serve. The message says what is wrong with it, and where. */
export class ProbeRefusedError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = 'ProbeRefusedError';
  }
}

/** A probe that could not be tried now, through no fault of its own. */
export class ProbePostponedError extends ProbeRefusedError {}

/** What an unknown thing that was thrown says of itself. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
