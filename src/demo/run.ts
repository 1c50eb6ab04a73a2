/** Owns one demonstration: candidates denoised together, asked about at one step, and only the kept ones finished. */
import { ProbeClient } from '../client/index.js';
import { captured } from '../reference/capture.js';
import { initialNoise } from '../reference/noise.js';
import { Sampler, type Step } from '../reference/sampler.js';
import type { EncodedCaption, World } from '../reference/world.js';
import type { GenerateArguments } from './arguments.js';
import type { ProbeContract } from './service.js';

/** Between two steps nothing else happens here, so an answer may take its time. */
const DEADLINE_MS = 5000;

/** One candidate at the end of a run. */
export interface Candidate {
  readonly seed: number;
  readonly decision: 'keep' | 'drop';
  readonly reason: string;
  readonly score: number | undefined;
  readonly percentile: number | null | undefined;
  readonly rank: number | undefined;
  readonly preview: Float32Array;
  image?: Float32Array;
  quality?: number;
}

export interface RunOptions {
  readonly world: World;
  readonly url: string;
  readonly contract: ProbeContract;
  readonly arguments: GenerateArguments;
  /** Called after every step with how many are done, and how many images took part. */
  readonly onStep: (done: number, total: number, images: number) => void;
  /** Told why nothing was scored. */
  readonly onFailedOpen: (reason: string) => void;
}

export async function run(options: RunOptions): Promise<Candidate[]> {
  const { world, onStep } = options;
  const { caption: text, seeds, seedBase, step: askAt, all } = options.arguments;
  const { steps } = world.description;
  const caption = await world.encode(text);
  const sampler = new Sampler(world, caption, startingNoise(text, seedBase, seeds, world.imageSize));
  let candidates: Candidate[] = [];
  while (!sampler.isFinished) {
    const images = sampler.rows;
    const step = await sampler.next();
    onStep(step.step, steps, images);
    if (step.step !== askAt) continue;
    candidates = await ask(options, caption, step);
    if (!all) sampler.keep(indicesOf(candidates, ({ decision }) => decision === 'keep'));
  }
  const finished = all ? candidates : candidates.filter(({ decision }) => decision === 'keep');
  await judge(world, caption, sampler.images, finished);
  return candidates;
}

async function ask(options: RunOptions, caption: EncodedCaption, step: Step): Promise<Candidate[]> {
  const { world, url, contract, onFailedOpen } = options;
  const { seeds, seedBase, keep, model, caption: group } = options.arguments;
  const client = new ProbeClient(url, { deadlineMs: DEADLINE_MS });
  try {
    const answer = await client.score(captured(step, caption, world.description, contract), {
      policy: { name: 'top_k', k: keep },
      group,
      sampleIds: Array.from({ length: seeds }, (_, index) => `seed-${seedBase + index}`),
      step: step.step,
      totalSteps: world.description.steps,
      captureId: contract.capture_id,
      ...(model !== undefined && { model }),
    });
    if (answer.outcome === 'failed_open') onFailedOpen(answer.problem?.detail ?? answer.reason);
    return answer.decisions.map((decision, index): Candidate => {
      const result = answer.results[index];
      return {
        seed: seedBase + index,
        decision,
        reason: result?.reason ?? 'failed_open',
        score: result?.score,
        percentile: result?.percentile,
        rank: result?.rank,
        preview: rowOf(step.preview, index, world.imageSize),
      };
    });
  } finally {
    await client.close();
  }
}

async function judge(
  world: World,
  caption: EncodedCaption,
  images: Float32Array,
  finished: readonly Candidate[],
): Promise<void> {
  const qualities = await world.judge(images, caption);
  for (const [index, candidate] of finished.entries()) {
    candidate.image = rowOf(images, index, world.imageSize);
    candidate.quality = qualities[index] ?? NaN;
  }
}

function startingNoise(caption: string, seedBase: number, seeds: number, size: number): Float32Array {
  const noise = new Float32Array(seeds * size);
  for (let index = 0; index < seeds; index += 1) {
    noise.set(initialNoise(caption, seedBase + index, size), index * size);
  }
  return noise;
}

function rowOf(values: Float32Array, row: number, size: number): Float32Array {
  return values.slice(row * size, (row + 1) * size);
}

function indicesOf<Item>(items: readonly Item[], matches: (item: Item) => boolean): number[] {
  return items.flatMap((item, index) => (matches(item) ? [index] : []));
}
