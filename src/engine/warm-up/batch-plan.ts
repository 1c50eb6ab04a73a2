/** The size limits of a probe's batches, measured by runs of several sizes. See docs/adr/0002-batch-plan.md. */
import { CostModel, type Measurement } from './cost-model.js';

/** No batch is larger unless the operator sets a limit. */
const MAX_BATCH = 64;
/** The share of the time per sample that a larger batch must save, since all requests in it wait for its end. */
const MIN_GAIN = 0.05;
/** The time that a run costs besides itself in a busy service, for messages and answers, ms. The warm-up cannot measure it. */
const OVERHEAD_MS = 0.4;
/** A request of up to this multiple of the best size is not cut: that would cost a second run and save little. */
const WHOLE_REQUEST_FACTOR = 2;
/** No batch is planned that takes longer, ms, since all requests in it wait for its end. */
const MAX_RUN_MS = 20;
const MAX_ROUNDS = 8;
/** No further round begins after this time in runs, ms. */
const MAX_MEASURING_MS = 150;

/** Runs one batch of the given samples; resolves with how long it took, ms. */
export type TimedRun = (samples: number) => Promise<number>;

export interface BatchPlan {
  /** The smallest size whose time per sample is close to the best, or the operator's limit. */
  readonly bestSamples: number;
  /** Samples in one batch at most. */
  readonly maxSamples: number;
  /** Padded tokens in one batch at most: its samples times the tokens of its longest. */
  readonly maxTokens: number;
  readonly cost: CostModel;
  readonly measurements: readonly Measurement[];
}

/**
 * Runs batches of 1, 2, 4 ... samples in several rounds. The fastest run of each size counts, because a disturbance only
 * makes a run slower, and the sizes alternate, because a disturbance often lasts longer than all runs of one size.
 * @param tokens of each sample of these batches.
 * @param maxSamples the operator's own limit, in place of the measured size.
 */
export async function measureBatches(run: TimedRun, tokens: number, maxSamples?: number): Promise<BatchPlan> {
  const fastest = new Map<number, number>();
  let spentMs = 0;
  for (let round = 0; round < MAX_ROUNDS && spentMs < MAX_MEASURING_MS; round += 1) {
    for (const samples of batchSizes(maxSamples ?? MAX_BATCH)) {
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
  const plan = { cost: CostModel.fit(measurements, tokens), measurements };
  if (maxSamples !== undefined) return { ...plan, bestSamples: maxSamples, maxSamples, maxTokens: Infinity };
  const bestSamples = bestSize(measurements);
  return { ...plan, bestSamples, maxSamples: MAX_BATCH, maxTokens: bestSamples * tokens };
}

/** 1, 2, 4 ... and the largest itself, so that no request is the first to need that size. */
export function batchSizes(largest: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < largest; size *= 2) sizes.push(size);
  return [...sizes, largest];
}

/** The samples of the given tokens that fit into one batch, at least 1. */
export function samplesThatFit({ maxSamples, maxTokens }: BatchPlan, tokens: number): number {
  return Math.max(1, Math.min(maxSamples, Math.floor(maxTokens / tokens)));
}

/** The samples of the largest request that is not cut. */
export function samplesThatFitWhole(plan: BatchPlan, tokens: number): number {
  return samplesThatFit({ ...plan, maxTokens: plan.maxTokens * WHOLE_REQUEST_FACTOR }, tokens);
}

/** The sizes of batch that a further thread runs once before it serves. */
export function warmSizes({ bestSamples, maxSamples }: BatchPlan): number[] {
  return batchSizes(Math.min(maxSamples, bestSamples * WHOLE_REQUEST_FACTOR));
}

function bestSize(measurements: readonly Measurement[]): number {
  const allowed = measurements.filter((measurement) => !isTooLong(measurement));
  const least = Math.min(...allowed.map(perSample));
  return allowed.find((measurement) => perSample(measurement) <= least * (1 + MIN_GAIN))?.samples ?? 1;
}

/** A single sample is never too long: it must run in any case. */
function isTooLong({ samples, ms }: Measurement): boolean {
  return samples > 1 && ms > MAX_RUN_MS;
}

function perSample({ samples, ms }: Measurement): number {
  return (ms + OVERHEAD_MS) / samples;
}
