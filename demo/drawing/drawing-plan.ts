/** The plan of a drawing: how many images are started, at which steps the service is asked, and how many live on there. */
import type { Plan } from '../../src/probe/plan.js';

/** A plan without `expected` was written out by the caller. */
export type DrawingPlan = Pick<Plan, 'seeds' | 'keep'> & Partial<Pick<Plan, 'expected'>>;

/** The step of a count that is given without one. */
export const USUAL_STEP = '5';

/** The steps of a plan and how many images live on there, in order. */
export function stagesOf({ keep }: Pick<DrawingPlan, 'keep'>): (readonly [step: number, kept: number])[] {
  return Object.entries(keep).map(([step, kept]) => [Number(step), kept] as const);
}

/** Denoiser calls of all images together. */
export function callsOf(plan: Pick<DrawingPlan, 'seeds' | 'keep'>, totalSteps: number): number {
  let [alive, since, calls] = [plan.seeds, 0, 0];
  for (const [step, kept] of stagesOf(plan)) {
    calls += alive * (step - since);
    [alive, since] = [kept, step];
  }
  return calls + alive * (totalSteps - since);
}

/** A plan in words. */
export function planWords(plan: Pick<DrawingPlan, 'seeds' | 'keep'>): string {
  const stages = stagesOf(plan);
  const kept = stages.map(([step, count]) => `keep ${count} after step ${step}`);
  return [`start ${plan.seeds}`, ...kept, `finish ${stages.at(-1)?.[1] ?? plan.seeds}`].join(', ');
}
