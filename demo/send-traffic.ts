/**
 * Sends demo traffic: group after group of the reference world, scored at one step under the service's own policy. The kept
 * samples are finished and their true qualities are reported.
 */
import { ProbeClient } from '../clients/typescript/src/node.js';
import { drawGroup } from './drawing/draw-group.js';
import type { ServedProbe } from './drawing/find-probe.js';
import { createGroup, type Group, scoreGroup } from './drawing/group.js';
import type { World } from './world/world.js';

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
  readonly probe: ServedProbe;
  /** The step at which samples are scored. */
  readonly step: number;
  /** Ends the traffic between two steps. */
  readonly signal: AbortSignal;
  /** Called after each group with the number of finished samples and of qualities that the service took. */
  readonly onGroup: (caption: string, finished: number, reported: number) => void;
  /** The number of groups; endless when omitted. */
  readonly groups?: number;
  /** Samples per group; 8 when omitted. */
  readonly samples?: number;
}

/** @throws the signal's reason when it aborts. */
export async function sendTraffic(options: TrafficOptions): Promise<void> {
  const { world, probe, onGroup, groups = Infinity, samples = DEFAULT_SAMPLES } = options;
  const client = new ProbeClient(probe.url, { deadlineMs: DEADLINE_MS, onMistake: 'keep' });
  // Exploration depends on the samples' ids, so each process takes other seeds.
  const firstSeed = Date.now();
  try {
    for (let index = 0; index < groups; index += 1) {
      const caption = CAPTIONS[index % CAPTIONS.length] ?? '';
      const seeds = Array.from({ length: samples }, (_, sample) => firstSeed + index * samples + sample);
      const group = await createGroup(world, caption, seeds);
      const { finished, reported } = await sendGroup(client, options, group);
      onGroup(caption, finished, reported);
    }
  } finally {
    await client.close();
  }
}

async function sendGroup(
  client: ProbeClient,
  { probe, step, signal }: TrafficOptions,
  group: Group,
): Promise<{ finished: number; reported: number }> {
  const { samples } = await drawGroup(group, {
    ask: async (alive, at) => (at.step === step ? scoreGroup({ client, probe }, alive, at) : undefined),
    signal,
  });
  const finished = samples.filter(({ droppedAt }) => droppedAt === null);
  const items = finished.flatMap(({ answers, quality = NaN }) => {
    const receipt = answers[0]?.result?.receipt;
    return receipt === undefined ? [] : [{ receipt, quality }];
  });
  const answer = items.length > 0 ? await client.feedback(items) : undefined;
  return { finished: finished.length, reported: answer?.accepted ?? 0 };
}
