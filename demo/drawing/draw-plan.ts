/** Draws the images of a caption by a plan: the service is asked at its steps, and without an answer everything is kept. */
import type { ScoreFailure, ScoreOutcome } from '../../clients/typescript/src/index.js';
import { drawGroup, type DrawnGroup, type DrawOptions } from './draw-group.js';
import type { DrawingPlan } from './drawing-plan.js';
import { type Group, scoreGroup, type Scorer } from './group.js';
import { CaptureMismatch } from '../world/capture.js';
import type { Step } from '../world/sampler.js';

export interface DrawPlanOptions extends Omit<DrawOptions, 'ask'> {
  readonly plan: DrawingPlan;
  /** When undefined, no probe is asked and every image is kept. */
  readonly scorer: Scorer | undefined;
  /** Called with the reason when the probe is not one for the reference world. */
  readonly onFailedOpen: (reason: string) => void;
}

/** @throws the signal's reason when it aborts. */
export async function drawByPlan(
  group: Group,
  { plan, scorer, onFailedOpen, ...drawing }: DrawPlanOptions,
): Promise<DrawnGroup> {
  const isAsked = ({ step }: Step): boolean => String(step) in plan.keep;
  if (!scorer) {
    const ask: DrawOptions['ask'] = async (alive, step) => (isAsked(step) ? keepAll(alive) : undefined);
    return drawGroup(group, { ...drawing, ask });
  }
  const policy = { name: 'plan', seeds: plan.seeds, keep: plan.keep, explore: { rate: 0 } } as const;
  const ask: DrawOptions['ask'] = async (alive, step) => {
    if (!isAsked(step)) return undefined;
    try {
      return await scoreGroup(scorer, alive, step, policy);
    } catch (error) {
      if (!(error instanceof CaptureMismatch)) throw error;
      onFailedOpen(error.message);
      return keepAll(alive);
    }
  };
  return drawGroup(group, { ...drawing, ask });
}

function keepAll({ seeds }: Group): ScoreOutcome {
  return { outcome: 'failed_open', reason: 'not_asked', results: [], decisions: seeds.map(() => 'keep') };
}

/** Why nothing was scored, in words. */
export function failureText({ reason, problem, error }: ScoreFailure): string {
  const detail = problem?.detail ?? error?.message;
  return detail === undefined ? reason : `${reason}: ${detail}`;
}
