/** Draws a group by a plan, with scores or not at all, and finishes what was dropped too: what a picture or a figure is made of. */
import { ProbeClient } from '../clients/typescript/src/node.js';
import { type DrawnGroup, type DrawOptions, finishDropped } from './drawing/draw-group.js';
import { drawByPlan, failureText } from './drawing/draw-plan.js';
import type { DrawingPlan } from './drawing/drawing-plan.js';
import type { ServedProbe } from './drawing/find-probe.js';
import { createGroup } from './drawing/group.js';
import type { World } from './world/world.js';

/** Long, so that a machine that is busy drawing does not lose an answer. */
const DEADLINE_MS = 20_000;

export interface GroupToDraw {
  readonly caption: string;
  readonly plan: DrawingPlan;
  readonly firstSeed: number;
}

/**
 * @returns the group with an image and a quality for every sample.
 * @throws {Error} when the service does not score at a step of the plan.
 */
export async function drawWholeGroup(
  world: World,
  probe: ServedProbe,
  { caption, plan, firstSeed }: GroupToDraw,
  drawing: Pick<DrawOptions, 'signal' | 'onStep'>,
): Promise<DrawnGroup> {
  const seeds = Array.from({ length: plan.seeds }, (_, index) => firstSeed + index);
  const group = await createGroup(world, caption, seeds);
  const problems: string[] = [];
  const fail = (reason: string): void => {
    problems.push(reason);
  };
  const client = new ProbeClient(probe.url, {
    deadlineMs: DEADLINE_MS,
    onProblem: (failure) => fail(failureText(failure)),
  });
  try {
    const drawn = await drawByPlan(group, {
      ...drawing,
      plan,
      scorer: { probe, client },
      onFailedOpen: fail,
    });
    if (problems[0] !== undefined) throw new Error(`nothing was scored: ${problems[0]}`);
    return { ...drawn, samples: await finishDropped(group, drawn.samples, drawing) };
  } finally {
    await client.close();
  }
}
