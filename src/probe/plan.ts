/** Plans: how many samples of a group are started, and how many live on after each decision point. */
import * as z from 'zod';

const count = z.int().min(1);

/** A step as the name of a member. */
export const stepKey = z.string().regex(/^[1-9]\d{0,5}$/, 'must be a step, counted from 1');

export const seedsSchema = count.describe('How many samples of a group are started');
export const keepSchema = z
  .record(stepKey, count)
  .describe('How many samples live on, by step; at other steps all of them do');

const figure = z
  .object({ value: z.number().nullable(), low: z.number().nullable(), high: z.number().nullable() })
  .describe('With its 95% interval over prompts; null where it does not exist');

/** An item of `plans` in a probe.json. */
export const planSchema = z
  .object({
    budget: z.number().positive().describe('What the plan may cost, in whole images'),
    seeds: seedsSchema,
    keep: keepSchema,
    calls: count.describe('Denoiser calls of all samples together'),
    pick: count.describe('How many of the finished images are used'),
    final: z
      .enum(['metric', 'score'])
      .describe('How these are found: by the true metric of all finished images, or by the last score'),
    expected: z
      .object({
        quality: figure.describe('The mean quality of the images that are used'),
        best_of_k: figure.describe('The same of plain best-of-k for the budget'),
        gain: figure.describe('quality less best_of_k'),
        gap_closed: figure.describe('The share of the gap between a random seed and the best of all'),
        best_of_k_gap_closed: figure.describe('The same of plain best-of-k'),
      })
      .describe('On calibration prompts, each judged by plans that were chosen on others'),
  })
  .meta({
    id: 'Plan',
    description: 'How many samples of a group to start, and how many to keep at each decision point.',
  });

export type Plan = z.infer<typeof planSchema>;

/** How a plan contradicts itself, with the member at fault; undefined when it does not. */
export function planContradiction(
  seeds: number,
  keep: Readonly<Record<string, number>>,
): { path: string[]; message: string } | undefined {
  let alive = seeds;
  // Members that are numbers are in ascending order.
  for (const [step, kept] of Object.entries(keep)) {
    if (kept > alive) return { path: ['keep', step], message: `must be at most ${alive}, the samples alive` };
    alive = kept;
  }
  return undefined;
}
