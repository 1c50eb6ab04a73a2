/**
 * Owns when a run gets all cores. Under load each worker has one core and all of them are busy; a request that comes alone
 * would leave the others idle. For it every worker on the CPU has the same graph in a second session, as wide as the machine.
 */
import { batchSizes } from './batch-plan.js';

/**
 * It must be worth this share of a run's time, since what comes next finds no core free: on two cores a gain of a quarter made a
 * lone sample 0.13 ms faster, and the median of arrivals at 25 to 75% of capacity 0.2 to 1.4 ms slower.
 */
const WORTHWHILE = 1 / 3;
const LEAST_TURNS = 3;
const MOST_TURNS = 8;
/** After this time no further turn is taken at one size, ms. */
const ENOUGH_MS = 120;

/** Runs one batch of that many samples; resolves with how long it took, ms. */
export type TimedRun = (samples: number) => Promise<number>;

/** The key by which a thread knows the session on all cores beside the one under a probe's own key. */
export function allCoresKey(key: number): number {
  return -key;
}

/**
 * The samples from which on a batch alone is faster on all cores; Infinity: never. Both kinds of run take turns, and the
 * fastest of each counts: what disturbs a run only ever makes it slower.
 */
export async function measureAllCores(
  onOne: TimedRun,
  onAll: TimedRun,
  bestSamples: number,
): Promise<number> {
  let from = Infinity;
  // The larger a batch, the more there is to share.
  for (const samples of batchSizes(bestSamples).toReversed()) {
    if (!(await isWorthwhile(onOne, onAll, samples))) break;
    from = samples;
  }
  return from;
}

async function isWorthwhile(onOne: TimedRun, onAll: TimedRun, samples: number): Promise<boolean> {
  const start = performance.now();
  let [one, all] = [Infinity, Infinity];
  for (let turn = 0; turn < MOST_TURNS; turn += 1) {
    if (turn >= LEAST_TURNS && performance.now() - start > ENOUGH_MS) break;
    one = Math.min(one, await onOne(samples));
    all = Math.min(all, await onAll(samples));
  }
  return all <= one * (1 - WORTHWHILE);
}
