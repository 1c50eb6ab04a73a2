/** Owns the clock that all measuring reads. */

const NS_PER_MS = 1e6;

/** The machine's monotonic clock, ms. It agrees between threads, where performance.now() counts from each one's start. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / NS_PER_MS;
}
