/** Mean quality against denoiser calls on the test captions: by plans, by best-of-k, and of a random seed. */
import { stagesOf, type DrawingPlan } from './drawing/drawing-plan.js';
import { expectedBest } from './page/app/account.js';
import type { PlanChoice } from './page/plan-choices.js';
import type { Point, QualityCurve } from './pictures/curve.js';
import type { TestScores } from './test-scores.js';

/**
 * Plans that start more images than there are test seeds have no point.
 * @throws {Error} when a step of a plan has no test scores.
 */
export function qualityCurve(
  test: TestScores,
  choices: readonly PlanChoice[],
  totalSteps: number,
): QualityCurve {
  const { quality } = test;
  const seeds = Math.min(...quality.map((row) => row.length));
  const bestOfK = Array.from({ length: seeds }, (_, index): Point => {
    const k = index + 1;
    return [k * totalSteps, mean(quality.map((row) => expectedBest(row, k)))];
  });
  const plans = choices
    .filter(({ plan }) => plan.seeds <= seeds)
    .map(({ calls, plan }): Point => [calls, planQuality(test, plan)]);
  return { captions: quality.length, plans, bestOfK, random: bestOfK[0]![1] };
}

/**
 * The mean over captions of the best quality that a plan finishes. With fewer images than test seeds each caption counts as many
 * times as it has seeds, with groups of consecutive seeds in a circle, so that every seed occurs equally often.
 */
function planQuality({ steps, quality }: TestScores, { seeds, keep }: DrawingPlan): number {
  const stages = stagesOf({ keep }).map(([step, kept]) => {
    const scores = steps[String(step)]?.scores;
    if (!scores) throw new Error(`the test scores have no step ${step}, at which the plan asks`);
    return { scores, kept };
  });
  return mean(
    quality.flatMap((row, caption) =>
      row.map((_, first) => {
        let alive = Array.from({ length: seeds }, (__, index) => (first + index) % row.length);
        for (const { scores, kept } of stages) {
          const scoreOf = (seed: number): number => scores[caption]![seed]!;
          alive = alive.toSorted((left, right) => scoreOf(right) - scoreOf(left)).slice(0, kept);
        }
        return Math.max(...alive.map((seed) => row[seed]!));
      }),
    ),
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
