/** The schema of policies, and what other modules read from a policy. */
import * as z from 'zod';

import { keepSchema, type Plan, planContradiction, seedsSchema, stepKey } from '../probe/plan.js';

/** The false-drop rate of `max_false_drop` when the policy gives none. */
export const DEFAULT_ALPHA = 0.05;

/** The confidence of `max_false_drop` when the policy gives none. */
export const DEFAULT_CONFIDENCE = 0.95;

/** The share of would-be drops that is finished when the policy gives no rate. */
export const DEFAULT_EXPLORATION_RATE = 0.02;

const share = z.number().gt(0).lt(1);

const exploreSchema = z.strictObject({
  rate: z
    .number()
    .min(0)
    .lte(1)
    .optional()
    .describe(`${DEFAULT_EXPLORATION_RATE} when omitted; at 0 the quality of dropped samples stays unknown`),
});

/** The options of every policy. */
const options = {
  mode: z
    .enum(['enforce', 'shadow'])
    .optional()
    .describe('`shadow`: report decisions but keep every sample; `enforce` when omitted'),
  min_keep: z
    .int()
    .min(1)
    .optional()
    .describe('Keep at least this many samples of a request, the best first'),
  explore: exploreSchema
    .optional()
    .describe('Finish a random share of the samples that would be dropped, to learn their quality'),
};

const maxFalseDropPolicy = z
  .strictObject({
    name: z.literal('max_false_drop'),
    alpha: share
      .optional()
      .describe(
        `The share of good samples that each decision point may drop; ${DEFAULT_ALPHA} when alpha and alphas are omitted`,
      ),
    alphas: z
      .record(stepKey, share)
      .optional()
      .describe('alpha by step, for several decision points; together they lose at most the sum'),
    confidence: z
      .number()
      .min(0.5)
      .max(0.9999)
      .nullable()
      .optional()
      .describe(
        `The probability, over the draw of the calibration, that each alpha holds; ${DEFAULT_CONFIDENCE} when omitted; null: alpha holds on average over calibrations only`,
      ),
    ...options,
  })
  .refine(({ alpha, alphas }) => alpha === undefined || alphas === undefined, {
    path: ['alpha'],
    error: 'give either alpha or alphas',
  })
  .refine(({ alphas = {} }) => Object.values(alphas).reduce((sum, alpha) => sum + alpha, 0) < 1, {
    path: ['alphas'],
    error: 'must sum to less than 1',
  })
  .meta({
    id: 'MaxFalseDropPolicy',
    description:
      'Drops samples that score below a threshold which loses at most the share `alpha` of good samples',
  });

const thresholdPolicy = z
  .strictObject({
    name: z.literal('threshold'),
    value: z.number().describe('In the units of the score'),
    ...options,
  })
  .meta({ id: 'ThresholdPolicy', description: 'Drops samples that score below `value`' });

const topKPolicy = z
  .strictObject({
    name: z.literal('top_k'),
    k: z.int().min(1).describe('How many samples to keep'),
    ...options,
  })
  .meta({ id: 'TopKPolicy', description: 'Keeps the best `k` samples of the group' });

const topFractionPolicy = z
  .strictObject({
    name: z.literal('top_fraction'),
    fraction: z.number().gt(0).lte(1).describe('The share of samples to keep, rounded up'),
    ...options,
  })
  .meta({ id: 'TopFractionPolicy', description: 'Keeps the best share of the group' });

const planPolicy = z
  .strictObject({
    name: z.literal('plan'),
    budget: z
      .number()
      .positive()
      .optional()
      .describe('The budget of one of the probe’s plans, in whole images; instead of seeds and keep'),
    seeds: seedsSchema.optional(),
    keep: keepSchema.optional(),
    ...options,
  })
  .superRefine(({ budget, seeds, keep }, context) => {
    const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (budget !== undefined) {
      if (seeds !== undefined || keep !== undefined)
        refuse(['budget'], 'give either budget, or seeds and keep');
      return;
    }
    if (seeds === undefined) return refuse(['seeds'], 'give a budget, or seeds and keep');
    if (keep === undefined) return refuse(['keep'], 'give a budget, or seeds and keep');
    const contradiction = planContradiction(seeds, keep);
    if (contradiction) refuse(contradiction.path, contradiction.message);
  })
  .meta({
    id: 'PlanPolicy',
    description: 'Keeps the best so many samples of the group at each step of a plan',
  });

const scoreOnlyPolicy = z
  .strictObject({ name: z.literal('score_only'), ...options })
  .meta({ id: 'ScoreOnlyPolicy', description: 'Keeps every sample: returns scores only' });

/** A policy as it stands in requests, policy files and answers. */
export const policySchema = z
  .discriminatedUnion('name', [
    maxFalseDropPolicy,
    thresholdPolicy,
    topKPolicy,
    topFractionPolicy,
    planPolicy,
    scoreOnlyPolicy,
  ])
  .meta({ id: 'Policy', description: 'The rule that turns scores into decisions.' });

export type Policy = z.infer<typeof policySchema>;

/** The false-drop rate that a policy allows at a step; undefined when it has no alpha there. */
export function alphaAt(policy: Policy, step: number): number | undefined {
  if (policy.name !== 'max_false_drop') return undefined;
  return policy.alphas ? policy.alphas[String(step)] : (policy.alpha ?? DEFAULT_ALPHA);
}

/** The confidence with which each alpha holds; null when it holds on average over calibrations only. */
export function confidenceOf(policy: Extract<Policy, { name: 'max_false_drop' }>): number | null {
  return policy.confidence === undefined ? DEFAULT_CONFIDENCE : policy.confidence;
}

/** The alphas of all steps. */
export function alphasOf(policy: Policy): number[] {
  if (policy.name !== 'max_false_drop') return [];
  return policy.alphas ? Object.values(policy.alphas) : [policy.alpha ?? DEFAULT_ALPHA];
}

/**
 * The steps that a policy names, and the member that names them. The policy is wrong for a probe without a decision point at
 * each of them.
 */
export function stepsNamed(policy: Policy): { member: 'alphas' | 'keep'; steps: number[] } {
  const [member, named] =
    policy.name === 'plan'
      ? (['keep', policy.keep] as const)
      : (['alphas', policy.name === 'max_false_drop' ? policy.alphas : undefined] as const);
  return { member, steps: Object.keys(named ?? {}).map(Number) };
}

/** How many samples a plan keeps, by step; undefined when the probe has no plan for the policy’s budget. */
export function keptByStep(
  { budget, keep }: Extract<Policy, { name: 'plan' }>,
  plans: readonly Plan[],
): Readonly<Record<string, number>> | undefined {
  return keep ?? plans.find((plan) => plan.budget === budget)?.keep;
}

/** The share of would-be drops that is finished, 0 to 1. */
export function explorationRate({ explore }: Policy): number {
  return explore?.rate ?? DEFAULT_EXPLORATION_RATE;
}
