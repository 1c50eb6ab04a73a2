/** Why a probe does not serve. In a file of its own, so that the process that tests probes does not load what reads them. */

/** A probe that must not serve. The message says what is wrong with it, and in which file or field. */
export class ProbeRefusedError extends Error {
  override readonly name = 'ProbeRefusedError';
}

/** A probe that could not be loaded for a reason that does not lie in its files: it is worth another try. */
export class ProbePostponedError extends ProbeRefusedError {}
