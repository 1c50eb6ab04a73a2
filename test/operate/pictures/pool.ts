/** Owns the groups that the scene is played with: drawn to the end by the reference world, so that every quality is known. */
import type { CaptureSpec } from '../../../demo/world/capture.js';
import type { ScoreInput } from '../../../clients/typescript/src/index.js';
import { toScoreInput } from '../../../demo/world/capture.js';
import { initialNoise } from '../../../demo/world/random.js';
import { Sampler } from '../../../demo/world/sampler.js';
import { World } from '../../../demo/world/world.js';
import { committedScores } from '../../support/test-scores.js';

export const STEPS = [5, 10];
export const GROUP_SAMPLES = 8;

export interface FinishedGroup {
  readonly caption: string;
  /** By step, of all samples. */
  readonly inputs: ReadonlyMap<number, ScoreInput>;
  /** Of the finished images, one per sample. */
  readonly qualities: readonly number[];
}

/** Draws so many groups, of test captions. */
export async function drawPool(
  groups: number,
  contract: CaptureSpec,
  onGroup: (drawn: number) => void,
): Promise<FinishedGroup[]> {
  const world = await World.load('reference');
  const captions = (await committedScores()).at(STEPS[0] ?? 0);
  const pool: FinishedGroup[] = [];
  try {
    for (const { caption } of captions.slice(0, groups)) {
      pool.push(await drawGroup(world, caption, contract));
      onGroup(pool.length);
    }
  } finally {
    await world.close();
  }
  return pool;
}

async function drawGroup(world: World, caption: string, contract: CaptureSpec): Promise<FinishedGroup> {
  const encoded = await world.encode(caption);
  const noise = new Float32Array(GROUP_SAMPLES * world.imageSize);
  for (let seed = 0; seed < GROUP_SAMPLES; seed += 1)
    noise.set(initialNoise(caption, seed, world.imageSize), seed * world.imageSize);
  const sampler = new Sampler(world, encoded, noise);
  const inputs = new Map<number, ScoreInput>();
  while (!sampler.isFinished) {
    const step = await sampler.next();
    if (STEPS.includes(step.step))
      inputs.set(step.step, toScoreInput(step, encoded, world.description, contract));
  }
  return { caption, inputs, qualities: [...(await world.measureQuality(sampler.images, encoded))] };
}
