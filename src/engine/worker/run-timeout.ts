/** Owns how long a run may take, and what one is called that takes longer. */
import type { RunResult } from './worker-thread.js';

/** A run that has not ended in time. Its thread cannot be stopped: that would abort the process. */
export class RunTimeoutError extends Error {}

/** The run's reply. @throws {RunTimeoutError} when there is none within `limitMs`; left out: it is waited for for ever. */
export async function withTimeout(run: Promise<RunResult>, limitMs = Infinity): Promise<RunResult> {
  if (limitMs === Infinity) return run;
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new RunTimeoutError(`a run has taken longer than ${limitMs} ms`)),
      limitMs,
    );
  });
  try {
    return await Promise.race([run, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
