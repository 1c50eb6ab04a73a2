/** Owns how large a batch may be, and how that is found out by running some. */
import { CostModel, type Measurement } from './cost-model.js';

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
/** A batch that takes longer makes all in it wait too long, whatever it saves: none is planned, and larger ones are not tried, ms. */
const LONGEST_RUN_MS = 20;
const MOST_TURNS = 8;
/** After so much time in runs no further turn is taken, ms. */
const ENOUGH_MS = 500;

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
  readonly cost: CostModel;
  /** What the plan rests on. */
  readonly measurements: readonly Measurement[];
}

/**
 * Runs batches of 1, 2, 4 ... samples of `tokens` tokens, and the fastest of each size counts: what disturbs a run only ever
 * makes it slower. The sizes take turns, since what disturbs a machine often lasts longer than all the runs of one.
 * @param run runs one batch of that many samples; resolves with how long it took, ms.
 * @param maxSamples the operator's own limit, in place of the best size found.
 */
export async function measureBatches(
  run: (samples: number) => Promise<number>,
  tokens: number,
  maxSamples?: number,
): Promise<BatchPlan> {
  const fastest = new Map<number, number>();
  let spentMs = 0;
  for (let turn = 0; turn < MOST_TURNS && spentMs < ENOUGH_MS; turn += 1) {
    for (const samples of batchSizes(maxSamples ?? LARGEST_BATCH)) {
      // The first run of a size is cold.
      if (!fastest.has(samples)) await run(samples);
      const ms = await run(samples);
      spentMs += ms;
      const best = Math.min(ms, fastest.get(samples) ?? Infinity);
      fastest.set(samples, best);
      if (maxSamples === undefined && isTooLong({ samples, ms: best })) break;
    }
  }
  const measurements = [...fastest].map(([samples, ms]) => ({ samples, ms }));
  const plan = { cost: CostModel.through(measurements, tokens), measurements, allCoresFrom: Infinity };
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
  const short = measurements.filter((measurement) => !isTooLong(measurement));
  const least = Math.min(...short.map(perSample));
  const best = short.find((measurement) => perSample(measurement) <= least * (1 + WORTHWHILE));
  return best?.samples ?? 1;
}

/** One sample runs however long it takes. */
function isTooLong({ samples, ms }: Measurement): boolean {
  return samples > 1 && ms > LONGEST_RUN_MS;
}

function perSample({ samples, ms }: Measurement): number {
  return (ms + HANDLING_MS) / samples;
}
