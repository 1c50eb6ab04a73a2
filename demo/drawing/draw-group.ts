/** Denoises the samples of a group together, asks about them at some steps, and goes on with those that are kept. */
import type { SampleResult, ScoreOutcome } from '../../clients/typescript/src/index.js';
import { type Group, startSampler } from './group.js';
import { rowsOf } from '../world/images.js';
import type { Step } from '../world/sampler.js';

/** What was answered about a sample at a step. */
export interface SampleAnswer {
  readonly step: number;
  /** The image expected at the step, [3, side, side] in [-1, 1]. */
  readonly preview: Float32Array;
  /** Undefined when nothing was scored. */
  readonly result: SampleResult | undefined;
}

/** What became of the sample of a seed. */
export interface DrawnSample {
  readonly seed: number;
  /** One per step at which the sample was asked about. */
  readonly answers: readonly SampleAnswer[];
  /** The step at which the sample was dropped; null when it was not. */
  readonly droppedAt: number | null;
  /** The finished image; undefined when it was not finished. */
  readonly image?: Float32Array;
  /** The true quality of the finished image, in [0, 1]. */
  readonly quality?: number;
}

/** A step at which the service was asked. */
export interface Stage {
  readonly step: number;
  /** How many samples were asked about. */
  readonly alive: number;
  /** How many of them live on. */
  readonly kept: number;
  readonly outcome: ScoreOutcome['outcome'];
  /** Denoiser calls from the start to the answer. */
  readonly calls: number;
  /** Seconds from the start to the answer. */
  readonly seconds: number;
}

/** A sample while it is drawn. */
type Draft = { -readonly [Key in keyof DrawnSample]: DrawnSample[Key] } & { answers: SampleAnswer[] };

export interface DrawnGroup {
  /** One per seed of the group, in order. */
  readonly samples: readonly DrawnSample[];
  readonly stages: readonly Stage[];
  /** Denoiser calls of all samples together. */
  readonly calls: number;
  readonly seconds: number;
}

export interface DrawOptions {
  /**
   * Called after each step, with the samples that were not dropped: the rows of the step.
   * @returns undefined at a step without a question. Everything is kept then, as when `ask` is omitted.
   */
  readonly ask?: (alive: Group, step: Step) => Promise<ScoreOutcome | undefined>;
  /** Ends the drawing between two steps. */
  readonly signal: AbortSignal;
  /** How many samples are denoised at once; all of them when omitted. */
  readonly rowsAtOnce?: number | undefined;
  /** Called with the previews of these, [rows, ...image] in [-1, 1], before the step has denoised the others. */
  readonly onPreview?: ((seeds: readonly number[], previews: Float32Array, step: number) => void) | undefined;
  /** Called after each step, with the samples that it denoised: the rows of the step. */
  readonly onStep?: ((alive: Group, step: Step) => void) | undefined;
}

/** @throws the signal's reason when it aborts. */
export async function drawGroup(group: Group, options: DrawOptions): Promise<DrawnGroup> {
  const { world } = group;
  const { ask, signal, rowsAtOnce, onPreview, onStep } = options;
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  const sampler = startSampler(group);
  const samples = group.seeds.map((seed): Draft => ({ seed, answers: [], droppedAt: null }));
  const stages: Stage[] = [];
  let alive = samples;
  let calls = 0;
  let stepsDone = 0;
  while (!sampler.isFinished && alive.length > 0) {
    const seeds = alive.map(({ seed }) => seed);
    const onRows = (first: number, previews: Float32Array): void => {
      signal.throwIfAborted();
      onPreview?.(seeds.slice(first, first + previews.length / world.imageSize), previews, stepsDone + 1);
    };
    const step = await sampler.next({ rowsAtOnce, onRows });
    stepsDone = step.step;
    signal.throwIfAborted();
    calls += alive.length;
    const denoised = { ...group, seeds };
    onStep?.(denoised, step);
    const answer = await ask?.(denoised, step);
    if (!answer) continue;
    for (const [row, sample] of alive.entries()) {
      const preview = rowsOf(step.preview, [row], world.imageSize);
      sample.answers.push({ step: step.step, preview, result: answer.results[row] });
      if (answer.decisions[row] === 'drop') sample.droppedAt = step.step;
    }
    sampler.keep([...alive.keys()].filter((row) => answer.decisions[row] === 'keep'));
    const kept = alive.filter(({ droppedAt }) => droppedAt === null);
    const figures = { alive: alive.length, kept: kept.length, calls, seconds: elapsed() };
    stages.push({ step: step.step, outcome: answer.outcome, ...figures });
    alive = kept;
  }
  await finish(group, alive, sampler.images);
  return { samples, stages, calls, seconds: elapsed() };
}

/** Draws the dropped samples again, to the end. */
export async function finishDropped(
  group: Group,
  samples: readonly DrawnSample[],
  options: Omit<DrawOptions, 'ask'>,
): Promise<DrawnSample[]> {
  const seeds = samples.flatMap(({ seed, droppedAt }) => (droppedAt === null ? [] : [seed]));
  const { samples: finished } = await drawGroup({ ...group, seeds }, options);
  return samples.map((sample) => ({ ...finished.find(({ seed }) => seed === sample.seed), ...sample }));
}

async function finish(
  { world, encoded }: Group,
  samples: readonly Draft[],
  images: Float32Array,
): Promise<void> {
  if (samples.length === 0) return;
  const qualities = await world.measureQuality(images, encoded);
  for (const [row, sample] of samples.entries()) {
    sample.image = rowsOf(images, [row], world.imageSize);
    sample.quality = qualities[row] ?? NaN;
  }
}
