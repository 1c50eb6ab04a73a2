/** Idle time of the event loop that a busy one may show, ms. */
const NO_IDLE_MS = 0.1;

/**
 * How long a request may have waited in its socket before the event loop read it. Under overload a turn of the loop takes
 * milliseconds, and the caller's deadline runs meanwhile.
 */
export class SocketWait {
  /** When the sockets were last read for requests, on the clock of performance.now(), and the loop's idle time by then, ms. */
  #readAt = performance.now();
  #idleMs = -Infinity;
  #isTurnWatched = false;

  /**
   * The time since the turn before; 0 where the loop has been idle since, because it then reads what comes at once.
   * @param now on the clock of performance.now(), ms.
   */
  atMostMs(now: number): number {
    if (!this.#isTurnWatched) {
      this.#isTurnWatched = true;
      // Immediates run when the sockets of this turn have been read.
      setImmediate(this.#onTurn);
    }
    const wasIdle = performance.nodeTiming.idleTime - this.#idleMs > NO_IDLE_MS;
    return wasIdle ? 0 : Math.max(0, now - this.#readAt);
  }

  readonly #onTurn = (): void => {
    this.#isTurnWatched = false;
    this.#readAt = performance.now();
    this.#idleMs = performance.nodeTiming.idleTime;
  };
}
