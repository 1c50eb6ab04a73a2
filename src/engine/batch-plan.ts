/** Owns how large a batch may be, and how that is found out by running some. */
import { CostLine, type Measurement } from './cost-line.js';

/** Beyond the best size known on any machine; no batch is larger unless the operator says so. */
const LARGEST_BATCH = 64;
/** A larger batch must be worth this share of the time per sample: all in it wait for its end. */
const WORTHWHILE = 0.05;
/**
 * What a run costs beside itself when the service is busy: messages, wakings and answers on the event loop, ms. A warm-up cannot
 * show it, since nothing else happens then; bench/README.md says where it comes from.
 */
const HANDLING_MS = 0.4;
/**
 * So many times the best size a request may have and still run whole: its samples take next to no longer than in two
 * runs, and it is spared the copying into pieces and the second run.
 */
const WHOLE_REQUEST = 2;
/** Sizes in a row that bring nothing: larger ones are not tried. */
const HOPELESS_SIZES = 2;
const LEAST_RUNS_PER_SIZE = 2;
const MOST_RUNS_PER_SIZE = 4;
/** A size that has taken so long is not run again, ms. */
const ENOUGH_PER_SIZE_MS = 60;
/** After this time no larger size is tried, ms. */
const ENOUGH_MS = 2000;

/** What is known of a probe's batches. */
export interface BatchPlan {
  /** The size from which larger batches bring next to nothing, or the operator's own. */
  readonly bestSamples: number;
  /** Samples in one batch at most. */
  readonly maxSamples: number;
  /** Padded tokens in one batch at most: its samples times the tokens of its longest. */
  readonly maxTokens: number;
  /** Samples from which on a batch that is alone gets all cores; Infinity: none does. */
  readonly allCoresFrom: number;
  readonly cost: CostLine;
  /** What the plan rests on. */
  readonly measurements: readonly Measurement[];
}

/**
 * Runs batches of 1, 2, 4 ... samples of `tokens` tokens until larger ones bring nothing.
 * @param run runs one batch of that many samples; resolves with how long it took, ms.
 * @param maxSamples the operator's own limit, in place of the best size found.
 */
export async function measureBatches(
  run: (samples: number) => Promise<number>,
  tokens: number,
  maxSamples?: number,
): Promise<BatchPlan> {
  const measurements: Measurement[] = [];
  const start = performance.now();
  for (const samples of batchSizes(maxSamples ?? LARGEST_BATCH)) {
    measurements.push({ samples, ms: await fastest(run, samples) });
    if (maxSamples !== undefined) continue;
    if (bringsNothing(measurements) || performance.now() - start > ENOUGH_MS) break;
  }
  const plan = { cost: CostLine.through(measurements, tokens), measurements, allCoresFrom: Infinity };
  if (maxSamples !== undefined) return { ...plan, bestSamples: maxSamples, maxSamples, maxTokens: Infinity };
  const bestSamples = bestSize(measurements);
  return { ...plan, bestSamples, maxSamples: LARGEST_BATCH, maxTokens: bestSamples * tokens };
}

/** 1, 2, 4 ... and the largest itself: no request should be the first to need such a batch. */
export function batchSizes(largest: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < largest; size *= 2) sizes.push(size);
  return [...sizes, largest];
}

/** The samples of a plan's batch, of the given tokens each. */
export function samplesThatFit({ maxSamples, maxTokens }: BatchPlan, tokens: number): number {
  return Math.max(1, Math.min(maxSamples, Math.floor(maxTokens / tokens)));
}

/** The samples of the largest request that runs whole where cutting it would not bring a second thread to work on it. */
export function samplesThatFitWhole(plan: BatchPlan, tokens: number): number {
  return samplesThatFit({ ...plan, maxTokens: plan.maxTokens * WHOLE_REQUEST }, tokens);
}

/** Every size of batch of the samples that the plan was measured with, as far as a thread should be warm for it. */
export function warmSizes({ bestSamples, maxSamples }: BatchPlan): number[] {
  return batchSizes(Math.min(maxSamples, bestSamples * WHOLE_REQUEST));
}

/** The smallest size whose time per sample is next to the best. */
function bestSize(measurements: readonly Measurement[]): number {
  const least = Math.min(...measurements.map(perSample));
  const best = measurements.find((measurement) => perSample(measurement) <= least * (1 + WORTHWHILE));
  return best?.samples ?? 1;
}

function bringsNothing(measurements: readonly Measurement[]): boolean {
  const best = measurements.findIndex(({ samples }) => samples === bestSize(measurements));
  return measurements.length - 1 - best >= HOPELESS_SIZES;
}

function perSample({ samples, ms }: Measurement): number {
  return (ms + HANDLING_MS) / samples;
}

/** The fastest of some runs: what disturbs a run only ever makes it slower. */
async function fastest(run: (samples: number) => Promise<number>, samples: number): Promise<number> {
  let best = Infinity;
  let spent = 0;
  for (let runs = 0; runs < MOST_RUNS_PER_SIZE; runs += 1) {
    if (runs >= LEAST_RUNS_PER_SIZE && spent > ENOUGH_PER_SIZE_MS) break;
    const ms = await run(samples);
    spent += ms;
    best = Math.min(best, ms);
  }
  return best;
}
