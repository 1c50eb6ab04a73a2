/** Owns the policies: what they are called, what they take, and the options that all of them share. */
import * as z from 'zod';

/** The false-drop rate that `max_false_drop` allows, where it does not say. */
export const DEFAULT_ALPHA = 0.05;

/** What is finished of that which a policy would drop, where the policy does not say. */
export const DEFAULT_EXPLORE_RATE = 0.02;

const share = z.number().gt(0).lt(1);
const stepKey = z.string().regex(/^[1-9]\d{0,5}$/, 'must be a step, counted from 1');

const exploreSchema = z.strictObject({
  rate: z
    .number()
    .min(0)
    .lte(1)
    .optional()
    .describe(`${DEFAULT_EXPLORE_RATE} when left out; at 0 nothing is learned about what is dropped`),
});

/** Members that every policy takes. */
const options = {
  mode: z
    .enum(['enforce', 'shadow'])
    .optional()
    .describe('shadow: decide and tell, but keep everything; enforce when left out'),
  min_keep: z
    .int()
    .min(1)
    .optional()
    .describe('How many samples of a request are kept at least, the best first'),
  explore: exploreSchema
    .optional()
    .describe('The share of what would be dropped that is finished all the same, to learn what became of it'),
};

const maxFalseDropPolicy = z
  .strictObject({
    name: z.literal('max_false_drop'),
    alpha: share
      .optional()
      .describe(
        `The share of good samples that each decision point may drop; ${DEFAULT_ALPHA} where alphas are left out too`,
      ),
    alphas: z
      .record(stepKey, share)
      .optional()
      .describe('The same by step, for several decision points; all together lose at most the sum'),
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
  .describe('Drops what scores below a threshold that loses at most the share `alpha` of good samples');

const thresholdPolicy = z
  .strictObject({
    name: z.literal('threshold'),
    value: z.number().describe('In the units of the score'),
    ...options,
  })
  .describe('Drops what scores below `value`');

const topKPolicy = z
  .strictObject({
    name: z.literal('top_k'),
    k: z.int().min(1).describe('How many samples to keep'),
    ...options,
  })
  .describe('Keeps the best `k` samples of the group');

const topFractionPolicy = z
  .strictObject({
    name: z.literal('top_fraction'),
    fraction: z.number().gt(0).lte(1).describe('The share of samples to keep, rounded up'),
    ...options,
  })
  .describe('Keeps the best share of the group');

const scoreOnlyPolicy = z
  .strictObject({ name: z.literal('score_only'), ...options })
  .describe('Keeps everything: scores alone');

/** A policy as requests, files and answers write it. */
export const policySchema = z
  .discriminatedUnion('name', [
    maxFalseDropPolicy,
    thresholdPolicy,
    topKPolicy,
    topFractionPolicy,
    scoreOnlyPolicy,
  ])
  .meta({ id: 'Policy', description: 'The rule that turns scores into decisions.' });

export type Policy = z.infer<typeof policySchema>;
export type MaxFalseDropPolicy = Extract<Policy, { name: 'max_false_drop' }>;

/** The false-drop rate that a policy allows at a step; undefined where it decides nothing there or promises nothing. */
export function alphaAt(policy: Policy, step: number): number | undefined {
  if (policy.name !== 'max_false_drop') return undefined;
  return policy.alphas ? policy.alphas[String(step)] : (policy.alpha ?? DEFAULT_ALPHA);
}

/** The steps that a policy names; a probe that has no decision point there makes no sense of it. */
export function stepsNamed(policy: Policy): number[] {
  return policy.name === 'max_false_drop' ? Object.keys(policy.alphas ?? {}).map(Number) : [];
}

/** The share of what the policy would drop that is finished all the same, 0 to 1. */
export function exploreRate({ explore }: Policy): number {
  return explore?.rate ?? DEFAULT_EXPLORE_RATE;
}
