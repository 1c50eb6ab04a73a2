/**
 * Owns traffic without end for a demonstration: captions of the reference world, asked about at one step under the
 * service's own policy, the kept samples finished, and their true qualities reported.
 */
import { ProbeClient } from '../clients/typescript/src/index.js';
import { captured } from './world/capture.js';
import { initialNoise } from './world/noise.js';
import { Sampler } from './world/sampler.js';
import type { EncodedCaption, World } from './world/world.js';
import type { Probe } from './probe.js';

const DEADLINE_MS = 5000;
const DEFAULT_SAMPLES = 8;
const CAPTIONS = [
  'a cat left of two keys on a blue background',
  'a rocket above a house on a pink background',
  'three apples on a grey background',
  'a dog and a ball on a green background',
  'two fish left of an umbrella on a white background',
  'a guitar on a yellow background',
  'an owl above two mushrooms and a star on a blue background',
  'a crown left of a clock and a book on a white background',
];

export interface TrafficOptions {
  readonly world: World;
  readonly probe: Probe;
  /** The step at which the service is asked. */
  readonly step: number;
  /** Ends the traffic between two steps. */
  readonly signal: AbortSignal;
  /** Told of each group: how many samples were finished, and how many qualities the service took. */
  readonly onGroup: (caption: string, finished: number, reported: number) => void;
  /** How many groups; without end when left out. */
  readonly groups?: number;
  /** In each group; 8 when left out. */
  readonly samples?: number;
}

/** Sends group after group, each with noise of its own. @throws the signal's reason when it fired. */
export async function sendTraffic(options: TrafficOptions): Promise<void> {
  const { world, probe, onGroup, groups = Infinity, samples = DEFAULT_SAMPLES } = options;
  const client = new ProbeClient(probe.url, { deadlineMs: DEADLINE_MS });
  // Other samples in each process, so that exploration does not choose the same ones again.
  const firstSeed = Date.now();
  try {
    for (let group = 0; group < groups; group += 1) {
      const caption = CAPTIONS[group % CAPTIONS.length] ?? '';
      const encoded = await world.encode(caption);
      const seeds = Array.from({ length: samples }, (_, index) => firstSeed + group * samples + index);
      const { finished, reported } = await sendGroup(client, options, { caption, encoded, seeds });
      onGroup(caption, finished, reported);
    }
  } finally {
    await client.close();
  }
}

interface Group {
  readonly caption: string;
  readonly encoded: EncodedCaption;
  readonly seeds: readonly number[];
}

async function sendGroup(
  client: ProbeClient,
  { world, probe, step: askAt, signal }: TrafficOptions,
  { caption, encoded, seeds }: Group,
): Promise<{ finished: number; reported: number }> {
  const sampler = new Sampler(world, encoded, startingNoise(caption, seeds, world.imageSize));
  let receipts: (string | undefined)[] = [];
  while (!sampler.isFinished && sampler.rows > 0) {
    const step = await sampler.next();
    signal.throwIfAborted();
    if (step.step !== askAt) continue;
    const answer = await client.score(captured(step, encoded, world.description, probe.contract), {
      model: probe.reference,
      group: caption,
      sampleIds: seeds.map((seed) => `seed-${seed}`),
      step: step.step,
      totalSteps: world.description.steps,
      captureId: probe.contract.capture_id,
    });
    const kept = [...answer.decisions.keys()].filter((index) => answer.decisions[index] === 'keep');
    receipts = kept.map((index) => answer.results[index]?.receipt);
    sampler.keep(kept);
  }
  if (sampler.rows === 0) return { finished: 0, reported: 0 };
  const qualities = await world.judge(sampler.images, encoded);
  const items = receipts.flatMap((receipt, index) =>
    receipt === undefined ? [] : [{ receipt, quality: qualities[index] ?? NaN }],
  );
  const answer = items.length > 0 ? await client.feedback(items) : undefined;
  return { finished: receipts.length, reported: answer?.accepted ?? 0 };
}

function startingNoise(caption: string, seeds: readonly number[], imageSize: number): Float32Array {
  const noise = new Float32Array(seeds.length * imageSize);
  for (const [index, seed] of seeds.entries())
    noise.set(initialNoise(caption, seed, imageSize), index * imageSize);
  return noise;
}
