/** Plans of `npm run generate`: how many images are started, at which steps the service is asked, and how many live on there. */
import * as z from 'zod';

import { keepSchema, planContradiction, seedsSchema } from '../src/probe/plan.js';
import { UsageError } from '../src/terminal/command-line.js';
import { type DrawingPlan, planWords, stagesOf, USUAL_STEP } from './drawing/drawing-plan.js';
import type { ServedProbe } from './drawing/find-probe.js';

/** A plan, or the probe's own for a budget in whole images. */
export type PlanChoice = DrawingPlan | { readonly budget: number };

export const MAX_SEEDS = 64;

const STAGES = /^[1-9]\d*=\d+(?:,[1-9]\d*=\d+)*$/;

/** How many images to keep by step, such as `1=7,3=6,5=2`; `2` keeps two after step 5. */
export const keepTextSchema = z.string().transform((text, context) => {
  const plain = text.replaceAll(/\s/g, '');
  const stages = /^\d+$/.test(plain) ? `${USUAL_STEP}=${plain}` : plain;
  const kept = [...stages.matchAll(/(\d+)=(\d+)/g)].map(
    ([, step = '', count]) => [step, Number(count)] as const,
  );
  const keep = Object.fromEntries(kept);
  if (STAGES.test(stages) && Object.keys(keep).length === kept.length) return keep;
  context.addIssue({
    code: 'custom',
    message: 'must be images to keep by step, each step once, as in 1=7,3=6,5=2',
  });
  return z.NEVER;
});

/** A plan that is written out. */
export const planSchema = z
  .object({ seeds: seedsSchema.max(MAX_SEEDS), keep: keepSchema })
  .superRefine(({ seeds, keep }, context) => {
    const contradiction = planContradiction(seeds, keep);
    if (contradiction) context.addIssue({ code: 'custom', ...contradiction });
  });

/** A plan in words, with what the probe expects of it. */
export function planText(plan: DrawingPlan): string {
  const text = planWords(plan);
  const quality = plan.expected?.quality.value ?? undefined;
  const bestOfK = plan.expected?.best_of_k.value ?? undefined;
  if (quality === undefined || bestOfK === undefined) return text;
  return `${text}; expected quality ${quality.toFixed(3)}, of best-of-k ${bestOfK.toFixed(3)}`;
}

/**
 * The plan to draw.
 * @param probe when undefined, a budget is spent on as many images as it pays for, all of them finished.
 * @throws {UsageError} when the probe has no plan for the budget, or no decision point at a step.
 */
export function choosePlan(choice: PlanChoice, probe: ServedProbe | undefined): DrawingPlan {
  if ('budget' in choice) {
    return probe ? planFor(choice.budget, probe) : { seeds: Math.floor(choice.budget), keep: {} };
  }
  if (probe) checkSteps(choice, probe);
  return choice;
}

function planFor(budget: number, { reference, contract: { plans } }: ServedProbe): DrawingPlan {
  const plan = plans.find((candidate) => candidate.budget === budget);
  if (plan) return plan;
  const budgets = plans.map((candidate) => candidate.budget).join(', ');
  const known =
    budgets === '' ? 'no plans: write one out with --seeds and --keep' : `plans for the budgets ${budgets}`;
  throw new UsageError(`--budget ${budget}: the probe ${reference} has ${known}`);
}

function checkSteps(plan: DrawingPlan, { reference, contract }: ServedProbe): void {
  const known = contract.decision_points.map((point) => point.step);
  const unknown = stagesOf(plan).find(([step]) => !known.includes(step));
  if (!unknown) return;
  throw new UsageError(`step ${unknown[0]}: the probe ${reference} knows steps ${known.join(', ')}`);
}
