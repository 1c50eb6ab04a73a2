/** Draws the images of a caption by a plan: the service is asked at its steps, and without an answer everything is kept. */
import { ProbeClient, type ScoreFailure, type ScoreOutcome } from '../clients/typescript/src/node.js';
import { drawGroup, type DrawnGroup, type DrawOptions } from './draw-group.js';
import type { ServedProbe } from './find-probe.js';
import { type Group, scoreGroup } from './group.js';
import type { DrawingPlan } from './plan.js';
import { CaptureMismatch } from './world/capture.js';
import type { Step } from './world/sampler.js';

/** Long, because nothing else happens between two steps. */
const DEADLINE_MS = 5000;

export interface DrawPlanOptions extends Pick<DrawOptions, 'signal' | 'onStep'> {
  readonly plan: DrawingPlan;
  /** When undefined, no probe is asked and every image is kept. */
  readonly probe: ServedProbe | undefined;
  /** Called with the reason when nothing could be scored at a step. */
  readonly onFailedOpen: (reason: string) => void;
}

/** @throws the signal's reason when it aborts. */
export async function drawByPlan(
  group: Group,
  { plan, probe, onFailedOpen, ...drawing }: DrawPlanOptions,
): Promise<DrawnGroup> {
  const isAsked = ({ step }: Step): boolean => String(step) in plan.keep;
  if (!probe) {
    const ask: DrawOptions['ask'] = async (alive, step) => (isAsked(step) ? keepAll(alive) : undefined);
    return drawGroup(group, { ...drawing, ask });
  }
  const onProblem = (failure: ScoreFailure): void => onFailedOpen(failureText(failure));
  const client = new ProbeClient(probe.url, { deadlineMs: DEADLINE_MS, onMistake: 'keep', onProblem });
  const policy = { name: 'plan', seeds: plan.seeds, keep: plan.keep, explore: { rate: 0 } } as const;
  const ask: DrawOptions['ask'] = async (alive, step) => {
    if (!isAsked(step)) return undefined;
    try {
      return await scoreGroup(client, probe, alive, step, policy);
    } catch (error) {
      if (!(error instanceof CaptureMismatch)) throw error;
      onFailedOpen(error.message);
      return keepAll(alive);
    }
  };
  try {
    return await drawGroup(group, { ...drawing, ask });
  } finally {
    await client.close();
  }
}

function keepAll({ seeds }: Group): ScoreOutcome {
  return { outcome: 'failed_open', reason: 'not_asked', results: [], decisions: seeds.map(() => 'keep') };
}

function failureText({ reason, problem, error }: ScoreFailure): string {
  const detail = problem?.detail ?? error?.message;
  return detail === undefined ? reason : `${reason}: ${detail}`;
}
