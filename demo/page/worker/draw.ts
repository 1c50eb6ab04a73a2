/** Draws a group by a plan and reports each event to the page. Then it finishes the dropped samples too. */
import type { ScoreFailure, ScoreOutcome } from '../../../clients/typescript/src/index.js';
import { type DrawnSample, type DrawOptions, finishDropped } from '../../drawing/draw-group.js';
import { drawByPlan, failureText } from '../../drawing/draw-plan.js';
import { findProbe, type ServedProbe } from '../../drawing/find-probe.js';
import { createGroup, type Group, type Scorer } from '../../drawing/group.js';
import { tokenize } from '../../world/caption.js';
import type { Description } from '../../world/description.js';
import { initialNoise } from '../../world/random.js';
import type { Step } from '../../world/sampler.js';
import type { DrawingNews, Order, Pictures } from '../messages.js';
import { meanOverLayers, toPixels } from '../pixels.js';
import { nearestChoice, type PlanChoice, planChoices } from '../plan-choices.js';
import { type OpeningWorld, sha256 } from './open-world.js';
import { DEADLINE_MS, recordingClient } from './recording-client.js';

/** So few that the first images can be seen early. More at once are not faster: docs/adr/0048-a-page-that-draws.md */
const ROWS_AT_ONCE = 2;

export interface DrawTools {
  readonly opening: OpeningWorld;
  /** The address of the service. */
  readonly service: string;
  readonly signal: AbortSignal;
  readonly tell: (news: DrawingNews, transfer?: Transferable[]) => void;
  /** Called with the probe, once it is known whether there is one. */
  readonly onProbe: (probe: ServedProbe | undefined, choices: readonly PlanChoice[]) => void;
}

/** @throws the signal's reason when it aborts, and {CaptionError}. */
export async function draw({ caption, firstSeed, budget }: Order, tools: DrawTools): Promise<void> {
  const { opening, service, signal, tell, onProbe } = tools;
  const description = await opening.description;
  // A mistake in the caption is told before anything is asked.
  const ids = tokenize(caption, description);
  const words = ids.slice(1).map((id) => description.vocabulary[id]!);
  const onFailedOpen = (reason: string): void => tell({ type: 'failed_open', reason });
  const probe = await findProbe(service, undefined, DEADLINE_MS).catch((error: unknown) => {
    onFailedOpen(error instanceof Error ? error.message : String(error));
    return undefined;
  });
  const choices = planChoices(probe, description.steps);
  onProbe(probe, choices);
  const { plan } = nearestChoice(choices, budget)!;
  const seeds = Array.from({ length: plan.seeds }, (_, index) => firstSeed + index);
  const noise = seeds.map((seed) => toPixels(initialNoise(sha256, caption, seed, sizeOf(description))));
  tell({ type: 'started', words, plan, noise: { seeds, pixels: noise } });

  const group = await createGroup(await opening.world, caption, seeds);
  const onStep = (alive: Group, step: Step): void => tellStep(alive, step, tell);
  const onPreview: DrawOptions['onPreview'] = (some, previews, step) =>
    tell({ type: 'previewed', step, pictures: { seeds: some, pixels: picturesOf(previews, some.length) } });
  const scorer = probe && scorerOf(probe, tools);
  const { samples } = await drawByPlan(group, {
    plan,
    scorer,
    signal,
    rowsAtOnce: ROWS_AT_ONCE,
    onPreview,
    onStep,
    onFailedOpen,
  });
  signal.throwIfAborted();
  tell({ type: 'finished', ...finishedOf(samples.filter(({ droppedAt }) => droppedAt === null)) });
  const all = await finishDropped(group, samples, {
    signal,
    rowsAtOnce: ROWS_AT_ONCE,
    onStep: (_alive, { step }) => tell({ type: 'completing', step }),
  });
  tell({ type: 'completed', ...finishedOf(all.filter(({ droppedAt }) => droppedAt !== null)) });
}

/** Asks the service, and reports its answers to the page. */
function scorerOf(probe: ServedProbe, { service, signal, tell }: DrawTools): Scorer {
  let asked: { step: number; seeds: number[] } = { step: 0, seeds: [] };
  const client = recordingClient(service, {
    onExchange: (recorded) =>
      tell({ type: 'exchanged', exchange: { ...asked, ...recorded } }, [recorded.body]),
    onProblem: (failure) => tell({ type: 'failed_open', reason: reasonOf(failure) }),
  });
  const score: Scorer['client']['score'] = async (input, options): Promise<ScoreOutcome> => {
    const seeds = (options?.sampleIds ?? []).map((id) => Number(id.replace('seed-', '')));
    asked = { step: options?.step ?? 0, seeds };
    const outcome = await client.score(input, { ...options, signal });
    tell({ type: 'answered', ...asked, results: outcome.results });
    return outcome;
  };
  return { probe, client: { score } };
}

function tellStep({ world, seeds }: Group, step: Step, tell: DrawTools['tell']): void {
  const { layers } = world.description.capture;
  const rowSize = step.attention.length / seeds.length;
  const pixels = picturesOf(step.preview, seeds.length);
  const maps = seeds.map((_, row) =>
    meanOverLayers(step.attention.subarray(row * rowSize, (row + 1) * rowSize), layers.length),
  );
  const buffers = [...pixels, ...maps].map(({ buffer }) => buffer);
  tell({ type: 'step', step: step.step, pictures: { seeds, pixels }, maps }, buffers);
}

function finishedOf(samples: readonly DrawnSample[]): { pictures: Pictures; qualities: number[] } {
  return {
    pictures: {
      seeds: samples.map(({ seed }) => seed),
      pixels: samples.map(({ image }) => toPixels(image!)),
    },
    qualities: samples.map(({ quality }) => quality!),
  };
}

/** Images as RGBA. @param images [rows, ...image] */
function picturesOf(images: Float32Array, rows: number): Pictures['pixels'][number][] {
  const size = images.length / rows;
  return Array.from({ length: rows }, (_, row) => toPixels(images.subarray(row * size, (row + 1) * size)));
}

function sizeOf({ image: [channels, height, width] }: Description): number {
  return channels * height * width;
}

/** Why nothing was scored, for people. */
function reasonOf(failure: ScoreFailure): string {
  if (failure.reason === 'network') return 'the service cannot be reached';
  if (failure.reason === 'timeout') return 'the service did not answer in time';
  return failureText(failure);
}
