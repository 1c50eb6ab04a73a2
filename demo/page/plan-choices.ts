/** The plans that the page offers: those of the probe, or written-out ones for a probe that has none. */
import { callsOf, type DrawingPlan, USUAL_STEP } from '../drawing/drawing-plan.js';
import type { ServedProbe } from '../drawing/find-probe.js';

/** A plan and its cost. */
export interface PlanChoice {
  /** In whole images. */
  readonly budget: number;
  readonly calls: number;
  readonly plan: DrawingPlan;
}

const SEEDS = 8;
const KEPT = [1, 2, 3, 4, 6];

/** In ascending order of budget. Without a probe, a budget is spent on whole images. */
export function planChoices(probe: ServedProbe | undefined, totalSteps: number): PlanChoice[] {
  const plans = probe ? plansOf(probe) : KEPT.map((seeds): DrawingPlan => ({ seeds, keep: {} }));
  const choices = plans.map((plan) => {
    const calls = callsOf(plan, totalSteps);
    return { budget: calls / totalSteps, calls, plan };
  });
  return choices.toSorted((left, right) => left.calls - right.calls);
}

/** The choice nearest to a budget; the cheaper one of two. */
export function nearestChoice(choices: readonly PlanChoice[], budget: number): PlanChoice | undefined {
  const [first, ...others] = choices;
  const distance = (choice: PlanChoice): number => Math.abs(choice.budget - budget);
  return others.reduce((best, choice) => (best && distance(choice) < distance(best) ? choice : best), first);
}

function plansOf({ contract: { plans, decision_points } }: ServedProbe): DrawingPlan[] {
  if (plans.length > 0) return plans;
  const steps = decision_points.map(({ step }) => String(step));
  const step = steps.includes(USUAL_STEP) ? USUAL_STEP : steps.at(Math.floor(steps.length / 2));
  if (step === undefined) return [{ seeds: SEEDS, keep: {} }];
  return KEPT.map((kept) => ({ seeds: SEEDS, keep: { [step]: kept } }));
}
