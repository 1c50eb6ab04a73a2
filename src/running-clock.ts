/**
 * Limits on the time that this process has run. A pause does not count: a stopped process (SIGSTOP), a suspended or migrated
 * machine, a loop that got no CPU. After such a pause an ordinary timer fires at once, although nothing has hung.
 * See docs/adr/0021-a-clock-of-running-time.md.
 */

/** How often the limits are checked, ms; a limit is reached up to this much too late, never too early. */
const TICK_MS = 50;
/** What one tick counts at most: a longer time between two ticks was a pause. */
const MAX_STEP_MS = 4 * TICK_MS;

interface Limit {
  /** On the clock of #ranMs. */
  readonly end: number;
  readonly onReached: () => void;
}

export class RunningClock {
  readonly #limits = new Set<Limit>();
  #timer: NodeJS.Timeout | undefined;
  #lastTick = 0;
  #ranMs = 0;

  /**
   * Calls a function once when the process has run for so long. The limit does not keep the process alive.
   * @returns the function that cancels it.
   */
  limit(ms: number, onReached: () => void): () => void {
    if (!this.#timer) {
      this.#lastTick = performance.now();
      this.#timer = setInterval(this.#tick, TICK_MS).unref();
    }
    const limit = { end: this.#ranMs + this.#sinceTick() + ms, onReached };
    this.#limits.add(limit);
    return () => this.#limits.delete(limit);
  }

  readonly #tick = (): void => {
    this.#ranMs += this.#sinceTick();
    this.#lastTick = performance.now();
    // The timer outlives the last limit by a tick, because the next run often follows at once.
    if (this.#limits.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    for (const limit of this.#limits) {
      if (limit.end > this.#ranMs) continue;
      this.#limits.delete(limit);
      limit.onReached();
    }
  };

  #sinceTick(): number {
    return Math.min(performance.now() - this.#lastTick, MAX_STEP_MS);
  }
}
