/** Owns new samples for the study: captions that nobody has trained on, drawn, asked about at one step, and finished. */
import { captured } from '../reference/capture.js';
import { drawTestCaption } from '../reference/caption-mix.js';
import { initialNoise } from '../reference/noise.js';
import { Sampler } from '../reference/sampler.js';
import { uniformNumbers } from '../reference/uniform.js';
import type { World } from '../reference/world.js';
import type { JudgedCaption, JudgedSamples } from './judged-samples.js';
import type { ProbeEngine } from './probe-engine.js';

/** Few, because samples of one caption resemble each other: more captions tell more. */
const SAMPLES_PER_CAPTION = 4;

export interface FreshOptions {
  readonly world: World;
  readonly probe: ProbeEngine;
  /** The step at which the probe is asked. */
  readonly step: number;
  /** How many samples. */
  readonly count: number;
  /** Which samples these are. */
  readonly seed: string;
  /** Told after every step of the sampler how much of the work is done, from 0 to 1. */
  readonly onProgress: (share: number) => void;
  /** Ends the work between two steps. */
  readonly signal: AbortSignal;
}

/** @throws the signal's reason when it fired. */
export async function freshSamples(options: FreshOptions): Promise<JudgedSamples> {
  const { probe, count, seed } = options;
  const random = uniformNumbers(`captions ${seed}`);
  const captions: JudgedCaption[] = [];
  for (let done = 0; done < count; done += SAMPLES_PER_CAPTION) {
    const samples = Math.min(SAMPLES_PER_CAPTION, count - done);
    captions.push(await judged(drawTestCaption(random), samples, done, options));
  }
  return { goodAt: probe.manifest.metric.good_at, captions };
}

async function judged(
  caption: string,
  samples: number,
  done: number,
  { world, probe, step: askAt, count, seed, onProgress, signal }: FreshOptions,
): Promise<JudgedCaption> {
  const encoded = await world.encode(caption);
  const noise = new Float32Array(samples * world.imageSize);
  for (let index = 0; index < samples; index += 1) {
    // The number of the sample in the whole run: a caption that is drawn twice starts from other noise.
    const own = initialNoise(`${seed}\n${caption}`, done + index, world.imageSize);
    noise.set(own, index * world.imageSize);
  }
  const sampler = new Sampler(world, encoded, noise);
  let scores: readonly number[] = [];
  while (!sampler.isFinished) {
    const step = await sampler.next();
    signal.throwIfAborted();
    if (step.step === askAt)
      scores = await probe.score(captured(step, encoded, world.description, probe.manifest));
    onProgress((done + (samples * step.step) / world.description.steps) / count);
  }
  return { caption, scores, quality: [...(await world.judge(sampler.images, encoded))] };
}
