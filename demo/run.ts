/** Owns one demonstration: candidates denoised together, asked about at one step, and only the kept ones finished. */
import { ProbeClient, type ScoreFailure } from '../clients/typescript/src/index.js';
import { captured, CaptureMismatch } from './world/capture.js';
import { initialNoise } from './world/noise.js';
import { Sampler, type Step } from './world/sampler.js';
import type { EncodedCaption, World } from './world/world.js';
import type { GenerateArguments } from './arguments.js';
import type { Probe } from './probe.js';
import type { OnStep } from './progress.js';

/** Between two steps nothing else happens here, so an answer may take its time. */
const DEADLINE_MS = 5000;

/** What became of one candidate at the step of the question. */
interface Verdict {
  readonly decision: 'keep' | 'drop';
  readonly reason: string;
  /** Undefined where nothing was scored, as are the next two. */
  readonly score?: number;
  /** Share of the calibration population below the score, from 0 to 100; null where the probe has no calibration. */
  readonly percentile?: number | null;
  /** In the group, from 1. */
  readonly rank?: number;
}

/** One candidate at the end of a run. */
export interface Candidate extends Verdict {
  readonly seed: number;
  /** The image that was expected at the step, [3, side, side] in [-1, 1]. */
  readonly preview: Float32Array;
  /** The finished image; undefined where it was not finished. */
  readonly image?: Float32Array;
  /** The true quality of the finished image, in [0, 1]. */
  readonly quality?: number;
}

export interface RunOptions {
  readonly world: World;
  /** Who is asked; undefined when nobody can be, and everything is kept. */
  readonly probe: Probe | undefined;
  readonly arguments: GenerateArguments;
  /** Ends the run between two steps. */
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
  /** Told why nothing was scored. */
  readonly onFailedOpen: (reason: string) => void;
}

/**
 * Draws every candidate up to the step of the question, and the kept ones (or all, if so asked) to the end.
 * @throws the signal's reason when it fired.
 */
export async function run(options: RunOptions): Promise<Candidate[]> {
  const { world, signal, onStep } = options;
  const { step: askAt, all } = options.arguments;
  const caption = await world.encode(options.arguments.caption);
  const sampler = new Sampler(world, caption, startingNoise(options.arguments, world.imageSize));
  let candidates: Candidate[] = [];
  while (!sampler.isFinished) {
    const images = sampler.rows;
    const step = await sampler.next();
    signal.throwIfAborted();
    onStep(step.step, world.description.steps, images);
    if (step.step !== askAt) continue;
    candidates = toCandidates(await ask(options, caption, step), step, options);
    if (!all) sampler.keep(keptRows(candidates));
  }
  return withFinished(candidates, sampler.images, all, world, caption);
}

/** A verdict per candidate: the probe's, or to keep them all where it gives none. */
async function ask(options: RunOptions, caption: EncodedCaption, step: Step): Promise<readonly Verdict[]> {
  const { seeds } = options.arguments;
  const verdicts = options.probe && (await askProbe(options.probe, options, caption, step));
  return verdicts ?? Array.from({ length: seeds }, () => ({ decision: 'keep', reason: 'failed_open' }));
}

async function askProbe(
  { url, reference, contract }: Probe,
  { world, arguments: { seeds, seedBase, keep, caption: group }, onFailedOpen }: RunOptions,
  caption: EncodedCaption,
  step: Step,
): Promise<readonly Verdict[] | undefined> {
  const client = new ProbeClient(url, { deadlineMs: DEADLINE_MS });
  try {
    const answer = await client.score(captured(step, caption, world.description, contract), {
      model: reference,
      policy: { name: 'top_k', k: keep, explore: { rate: 0 } },
      group,
      sampleIds: Array.from({ length: seeds }, (_, index) => `seed-${seedBase + index}`),
      step: step.step,
      totalSteps: world.description.steps,
      captureId: contract.capture_id,
    });
    if (answer.outcome === 'scored') return answer.results;
    onFailedOpen(explained(answer));
  } catch (error) {
    if (!(error instanceof CaptureMismatch)) throw error;
    onFailedOpen(error.message);
  } finally {
    await client.close();
  }
  return undefined;
}

function explained({ reason, problem, error }: ScoreFailure): string {
  const detail = problem?.detail ?? error?.message;
  return detail === undefined ? reason : `${reason}: ${detail}`;
}

function toCandidates(verdicts: readonly Verdict[], step: Step, options: RunOptions): Candidate[] {
  const { imageSize } = options.world;
  return verdicts.map((verdict, index) => ({
    ...verdict,
    seed: options.arguments.seedBase + index,
    preview: rowOf(step.preview, index, imageSize),
  }));
}

function keptRows(candidates: readonly Candidate[]): number[] {
  return candidates.flatMap(({ decision }, index) => (decision === 'keep' ? [index] : []));
}

/** The candidates with image and quality, where they were finished; `images` holds those alone, in the same order. */
async function withFinished(
  candidates: readonly Candidate[],
  images: Float32Array,
  all: boolean,
  world: World,
  caption: EncodedCaption,
): Promise<Candidate[]> {
  const qualities = await world.judge(images, caption);
  const finished = all ? [...candidates.keys()] : keptRows(candidates);
  return candidates.map((candidate, index) => {
    const row = finished.indexOf(index);
    if (row === -1) return candidate;
    return { ...candidate, image: rowOf(images, row, world.imageSize), quality: qualities[row] ?? NaN };
  });
}

function startingNoise({ caption, seedBase, seeds }: GenerateArguments, imageSize: number): Float32Array {
  const noise = new Float32Array(seeds * imageSize);
  for (let index = 0; index < seeds; index += 1) {
    noise.set(initialNoise(caption, seedBase + index, imageSize), index * imageSize);
  }
  return noise;
}

function rowOf(values: Float32Array, row: number, size: number): Float32Array {
  return values.slice(row * size, (row + 1) * size);
}
