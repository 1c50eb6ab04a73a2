/**
 * Measures whether a lone run is faster on all cores. Under load each worker has one core and all of them are busy, but a
 * lone request would leave the others idle. For it, a worker on the CPU holds the graph in a second session whose threads
 * use all cores. See docs/adr/0001-all-cores-sessions.md.
 */
import { type TimedRun, batchSizes } from './batch-plan.js';

/** The share of a run's time that all cores must save, since the next request finds no core free. */
const MIN_GAIN = 1 / 3;
const MIN_ROUNDS = 3;
const MAX_ROUNDS = 8;
/** No further round at one size begins after this time, ms. */
const MAX_MEASURING_MS = 120;

/** The key of a probe's session on all cores; the probe's own key is that of its ordinary session. */
export function allCoresKey(key: number): number {
  return -key;
}

/**
 * The samples from which on a lone batch is faster on all cores; Infinity when none is. Runs of both kinds alternate, and
 * the fastest of each counts, because a disturbance only makes a run slower.
 */
export async function measureAllCores(
  onOne: TimedRun,
  onAll: TimedRun,
  bestSamples: number,
): Promise<number> {
  let from = Infinity;
  // A larger batch has more work to share, so the first size without a gain ends the search.
  for (const samples of batchSizes(bestSamples).toReversed()) {
    if (!(await isWorthwhile(onOne, onAll, samples))) break;
    from = samples;
  }
  return from;
}

async function isWorthwhile(onOne: TimedRun, onAll: TimedRun, samples: number): Promise<boolean> {
  const start = performance.now();
  let [one, all] = [Infinity, Infinity];
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    if (round >= MIN_ROUNDS && performance.now() - start > MAX_MEASURING_MS) break;
    one = Math.min(one, await onOne(samples));
    all = Math.min(all, await onAll(samples));
  }
  return all <= one * (1 - MIN_GAIN);
}
