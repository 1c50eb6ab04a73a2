/** Owns the clock that all measuring reads. */

const MS_PER_SECOND = 1000;
const NS_PER_MS = 1e6;

/** The machine's monotonic clock, ms. It agrees between threads, where performance.now() counts from each one's start. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * MS_PER_SECOND + nanoseconds / NS_PER_MS;
}
