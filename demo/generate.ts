/** `npm run generate`: draws images of a caption by a plan, finishes those that the service keeps, ranks and writes them. */
import path from 'node:path';

import { ProbeClient, type ScoreFailure } from '../clients/typescript/src/node.js';
import { type CommandTools, runCommand } from './command.js';
import { type DrawnGroup, finishDropped } from './drawing/draw-group.js';
import { drawByPlan, type DrawPlanOptions, failureText } from './drawing/draw-plan.js';
import type { DrawingPlan } from './drawing/drawing-plan.js';
import { BACKBONE, findProbe, type ServedProbe, UnknownProbeError } from './drawing/find-probe.js';
import { findOrStartService } from './find-service.js';
import { type GenerateOptions, readGenerateOptions, USAGE } from './generate-options.js';
import { createGroup, type Group } from './drawing/group.js';
import { choosePlan, planText } from './plan.js';
import { selectionOf } from './selection.js';
import { showSteps } from './show-steps.js';
import { summaryText } from './summary.js';
import { CaptionError, tokenize } from './world/caption.js';
import { loadWorld } from './world/node/load-world.js';
import type { World } from './world/world.js';
import { writeSelection } from './write-selection.js';

/** Long, because nothing else happens between two steps. */
const DEADLINE_MS = 5000;

await runCommand({
  name: 'npm run generate',
  usage: USAGE,
  readOptions: readGenerateOptions,
  execute: generate,
  inputErrors: [CaptionError, UnknownProbeError],
});

async function generate(options: GenerateOptions, tools: CommandTools): Promise<string> {
  const { progress } = tools;
  const onFailedOpen = (reason: string): void =>
    progress.print(`no scores, so everything is kept: ${reason}`);
  const world = await loadWorld(options.reference);
  // A mistake in the caption is reported before a service is started.
  tokenize(options.caption, world.description);
  const starting = findOrStartService(options.url, process.env, (line) => progress.print(line));
  const service = await orFailOpen(starting, onFailedOpen);
  try {
    const probe = service && (await orFailOpen(findProbe(service.url, options.model), onFailedOpen));
    return await select(options, world, probe, tools, onFailedOpen);
  } finally {
    await service?.stop();
    await world.close();
  }
}

async function select(
  { caption, plan: choice, seedBase, all, out = defaultFolder(caption) }: GenerateOptions,
  world: World,
  probe: ServedProbe | undefined,
  { progress, signal }: CommandTools,
  onFailedOpen: (reason: string) => void,
): Promise<string> {
  const plan = choosePlan(choice, probe);
  progress.print(planText(plan));
  const seeds = Array.from({ length: plan.seeds }, (_, index) => seedBase + index);
  const group = await createGroup(world, caption, seeds);
  const drawing = { signal, onStep: showSteps(progress) };
  const drawn = await drawGroupByPlan(group, plan, probe, { ...drawing, onFailedOpen });
  const samples = all ? await finishDropped(group, drawn.samples, drawing) : drawn.samples;
  const { image, steps: totalSteps } = world.description;
  const budget = 'budget' in choice ? choice.budget : null;
  const facts = { prompt: caption, pipeline: BACKBONE, budget, plan, totalSteps };
  const selection = selectionOf({ ...drawn, samples }, facts);
  await writeSelection(out, selection, samples, { side: image[2], totalSteps });
  return `${summaryText(selection, out)}\n`;
}

/** Asks the probe's service by a client that is closed afterwards. */
async function drawGroupByPlan(
  group: Group,
  plan: DrawingPlan,
  probe: ServedProbe | undefined,
  drawing: Omit<DrawPlanOptions, 'plan' | 'scorer'>,
): Promise<DrawnGroup> {
  if (!probe) return drawByPlan(group, { ...drawing, plan, scorer: undefined });
  const onProblem = (failure: ScoreFailure): void => drawing.onFailedOpen(failureText(failure));
  const client = new ProbeClient(probe.url, { deadlineMs: DEADLINE_MS, onMistake: 'keep', onProblem });
  try {
    return await drawByPlan(group, { ...drawing, plan, scorer: { probe, client } });
  } finally {
    await client.close();
  }
}

/** Undefined when the attempt fails, because images do not wait for a broken service. An unknown probe is an error. */
async function orFailOpen<Value>(
  attempt: Promise<Value>,
  onFailedOpen: (reason: string) => void,
): Promise<Value | undefined> {
  try {
    return await attempt;
  } catch (error) {
    if (error instanceof UnknownProbeError) throw error;
    onFailedOpen(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** The same caption and seeds give the same images, so one caption's files are never mixed with another's. */
function defaultFolder(caption: string): string {
  return path.join('out', caption.trim().toLowerCase().replaceAll(/\s+/g, '-'));
}
