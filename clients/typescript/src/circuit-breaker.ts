/** A circuit breaker: after several faults in a row no request is sent for a while; then one trial request decides. */

export class CircuitBreaker {
  readonly #faults: number;
  readonly #seconds: number;
  readonly #now: () => number;
  #faultsInARow = 0;
  /** On the clock `now`; undefined while the circuit is closed. */
  #openUntil: number | undefined;
  #isTrialUnderWay = false;

  /**
   * @param faults so many in a row open it; 0: it never opens.
   * @param seconds how long it stays open.
   * @param now a clock, ms.
   */
  constructor(faults: number, seconds: number, now: () => number = () => performance.now()) {
    this.#faults = faults;
    this.#seconds = seconds;
    this.#now = now;
  }

  /** Whether a request may be sent. If so, its end must be recorded by one of the methods below. */
  allowRequest(): boolean {
    if (this.#openUntil === undefined) return true;
    if (this.#isTrialUnderWay || this.#now() < this.#openUntil) return false;
    this.#isTrialUnderWay = true;
    return true;
  }

  /** The service answered, be it with a refusal or because it is full. */
  recordAnswer(): void {
    this.#faultsInARow = 0;
    this.#openUntil = undefined;
    this.#isTrialUnderWay = false;
  }

  /** The service did not answer, or with an error of its own. */
  recordFault(): void {
    this.#faultsInARow += 1;
    if (this.#isTrialUnderWay || (this.#faults > 0 && this.#faultsInARow >= this.#faults))
      this.#openUntil = this.#now() + this.#seconds * 1000;
    this.#isTrialUnderWay = false;
  }

  /** The caller cancelled the request, which says nothing about the service. */
  recordCancellation(): void {
    this.#isTrialUnderWay = false;
  }
}
