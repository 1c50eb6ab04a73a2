/** Counts the failures of a client, and reports each to the caller's function or else the first of each kind to the console. */
import { isMistake, RefusedError } from './errors.js';
import type { ScoreFailure } from './outcome.js';

/** The service's reasons are texts of the network: so many are told apart. */
const MAX_KINDS = 64;
const OTHER = 'other';

export class Failures {
  readonly #onProblem: ((failure: ScoreFailure) => void) | undefined;
  readonly #counts = new Map<string, number>();
  readonly #reported = new Set<string>();
  #mistakes = 0;

  constructor(onProblem?: (failure: ScoreFailure) => void) {
    this.#onProblem = onProblem;
  }

  /** How many calls failed, by reason. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** How many of them failed by the caller's mistake. */
  get mistakes(): number {
    return this.#mistakes;
  }

  count({ reason, error }: ScoreFailure): void {
    const name = this.#counts.has(reason) || this.#counts.size < MAX_KINDS ? reason : OTHER;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    if (isMistake(error)) this.#mistakes += 1;
  }

  /** An exception of the caller's function must not cost an image. */
  report(failure: ScoreFailure): void {
    try {
      if (this.#onProblem) this.#onProblem(failure);
      else this.#reportOnce(failure);
    } catch {
      // See above.
    }
  }

  #reportOnce({ reason, error }: ScoreFailure): void {
    const kind = error instanceof RefusedError ? `${reason} ${error.status}` : reason;
    if (this.#reported.has(kind) || this.#reported.size >= MAX_KINDS) return;
    this.#reported.add(kind);
    const detail = error ? ` (${error.message})` : '';
    // Without a message, a lasting failure would keep every image unnoticed.
    // eslint-disable-next-line no-console
    console.warn(
      `Diffusion Probe: a call has no answer and keeps every sample: ${kind}${detail}. Logged once.`,
    );
  }
}
