/** The due times of an open loop: Poisson arrivals, the same for the same seed. */
import { uniformNumbers } from '../../demo/world/node/random.js';

/** The times of arrival within a span, ascending, ms from its start. */
export function poissonArrivals(ratePerSecond: number, seconds: number, seed: number): number[] {
  if (!(ratePerSecond > 0)) throw new RangeError(`a rate must be above 0, not ${ratePerSecond}`);
  const uniform = uniformNumbers(String(seed));
  const meanGapMs = 1000 / ratePerSecond;
  const arrivals: number[] = [];
  const end = seconds * 1000;
  for (let at = gap(uniform, meanGapMs); at < end; at += gap(uniform, meanGapMs)) arrivals.push(at);
  return arrivals;
}

/** The gaps between Poisson arrivals are exponentially distributed. */
function gap(uniform: () => number, meanMs: number): number {
  return -Math.log(1 - uniform()) * meanMs;
}
