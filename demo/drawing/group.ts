/** A group in the reference world: the samples of one caption, each from the noise of its own seed. */
import type { Policy, ProbeClient, ScoreOutcome } from '../../clients/typescript/src/index.js';
import type { ServedProbe } from './find-probe.js';
import { toScoreInput } from '../world/capture.js';
import { Sampler, type Step } from '../world/sampler.js';
import type { EncodedCaption, World } from '../world/world.js';

/** A probe and what asks its service. */
export interface Scorer {
  readonly probe: ServedProbe;
  readonly client: Pick<ProbeClient, 'score'>;
}

export interface Group {
  readonly world: World;
  readonly caption: string;
  readonly encoded: EncodedCaption;
  /** One per sample. */
  readonly seeds: readonly number[];
}

/** @throws {CaptionError} */
export async function createGroup(world: World, caption: string, seeds: readonly number[]): Promise<Group> {
  return { world, caption, encoded: await world.encode(caption), seeds };
}

export function startSampler({ world, caption, encoded, seeds }: Group): Sampler {
  const noise = new Float32Array(seeds.length * world.imageSize);
  for (const [index, seed] of seeds.entries())
    noise.set(world.initialNoise(caption, seed), index * world.imageSize);
  return new Sampler(world, encoded, noise);
}

/**
 * Has all samples of a group scored at a step.
 * @param policy the service's own policy when undefined.
 * @throws {CaptureMismatch} when the probe is not one for the reference world.
 */
export function scoreGroup(
  { client, probe: { reference, contract } }: Scorer,
  { world, caption, encoded, seeds }: Group,
  step: Step,
  policy?: Policy,
): Promise<ScoreOutcome> {
  return client.score(toScoreInput(step, encoded, world.description, contract), {
    model: reference,
    ...(policy && { policy }),
    group: caption,
    sampleIds: seeds.map((seed) => `seed-${seed}`),
    step: step.step,
    totalSteps: world.description.steps,
    captureId: contract.capture_id,
  });
}
