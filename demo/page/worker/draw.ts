/** Draws a group by a plan and tells the page everything that happens. Afterwards it finishes the dropped samples too. */
import type { ScoreOutcome } from '../../../clients/typescript/src/index.js';
import { type DrawnSample, finishDropped } from '../../drawing/draw-group.js';
import { drawByPlan, failureText } from '../../drawing/draw-plan.js';
import { findProbe, type ServedProbe } from '../../drawing/find-probe.js';
import { createGroup, type Group, type Scorer } from '../../drawing/group.js';
import { rowsOf } from '../../world/images.js';
import type { Step } from '../../world/sampler.js';
import type { World } from '../../world/world.js';
import type { DrawingNews, Order, Pictures } from '../messages.js';
import { meanOverLayers, toPixels } from '../pixels.js';
import { nearestChoice, type PlanChoice, planChoices } from '../plan-choices.js';
import { recordingClient } from './recording-client.js';

export interface DrawTools {
  readonly world: World;
  /** The address of the service. */
  readonly service: string;
  readonly signal: AbortSignal;
  readonly tell: (news: DrawingNews, transfer?: Transferable[]) => void;
  /** Called with the probe, once it is known whether there is one. */
  readonly onProbe: (probe: ServedProbe | undefined, choices: readonly PlanChoice[]) => void;
}

/** @throws the signal's reason when it aborts, and {CaptionError}. */
export async function draw({ caption, firstSeed, budget }: Order, tools: DrawTools): Promise<void> {
  const { world, service, signal, tell, onProbe } = tools;
  const { steps } = world.description;
  const onFailedOpen = (reason: string): void => tell({ type: 'failed_open', reason });
  const probe = await findProbe(service, undefined).catch((error: unknown) => {
    onFailedOpen(error instanceof Error ? error.message : String(error));
    return undefined;
  });
  const choices = planChoices(probe, steps);
  onProbe(probe, choices);
  const { plan } = nearestChoice(choices, budget)!;
  const seeds = Array.from({ length: plan.seeds }, (_, index) => firstSeed + index);
  const group = await createGroup(world, caption, seeds);
  const noise = { seeds, pixels: seeds.map((seed) => toPixels(world.initialNoise(caption, seed))) };
  tell({ type: 'started', words: wordsOf(group), plan, noise });

  const onStep = (alive: Group, step: Step): void => tellStep(alive, step, tell);
  const scorer = probe && scorerOf(probe, tools);
  const { samples } = await drawByPlan(group, { plan, scorer, signal, onStep, onFailedOpen });
  signal.throwIfAborted();
  tell({ type: 'finished', ...finishedOf(samples.filter(({ droppedAt }) => droppedAt === null)) });
  const all = await finishDropped(group, samples, {
    signal,
    onStep: (_alive, { step }) => tell({ type: 'completing', step }),
  });
  tell({ type: 'completed', ...finishedOf(all.filter(({ droppedAt }) => droppedAt !== null)) });
}

/** Asks the service, and tells the page what was answered. */
function scorerOf(probe: ServedProbe, { service, tell }: DrawTools): Scorer {
  let asked: { step: number; seeds: number[] } = { step: 0, seeds: [] };
  const client = recordingClient(service, {
    onExchange: (recorded) =>
      tell({ type: 'exchanged', exchange: { ...asked, ...recorded } }, [recorded.body]),
    onProblem: (failure) => tell({ type: 'failed_open', reason: failureText(failure) }),
  });
  const score: Scorer['client']['score'] = async (input, options = {}): Promise<ScoreOutcome> => {
    const seeds = (options.sampleIds ?? []).map((id) => Number(id.replace('seed-', '')));
    asked = { step: options.step ?? 0, seeds };
    const outcome = await client.score(input, options);
    tell({ type: 'answered', ...asked, results: outcome.results });
    return outcome;
  };
  return { probe, client: { score } };
}

function tellStep({ world, seeds }: Group, step: Step, tell: DrawTools['tell']): void {
  const { layers } = world.description.capture;
  const rowSize = step.attention.length / seeds.length;
  const pixels = seeds.map((_, row) => toPixels(rowsOf(step.preview, [row], world.imageSize)));
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

/** The words of the caption, one per attention map. */
function wordsOf({ world, encoded }: Group): string[] {
  return encoded.ids.slice(1).map((id) => world.description.vocabulary[id]!);
}
