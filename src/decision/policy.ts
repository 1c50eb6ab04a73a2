/** The schema of policies, and what other modules read from a policy. */
import * as z from 'zod';

/** The false-drop rate of `max_false_drop` when the policy gives none. */
export const DEFAULT_ALPHA = 0.05;

/** The share of would-be drops that is finished when the policy gives no rate. */
export const DEFAULT_EXPLORATION_RATE = 0.02;

const share = z.number().gt(0).lt(1);
const stepKey = z.string().regex(/^[1-9]\d{0,5}$/, 'must be a step, counted from 1');

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
    scoreOnlyPolicy,
  ])
  .meta({ id: 'Policy', description: 'The rule that turns scores into decisions.' });

export type Policy = z.infer<typeof policySchema>;

/** The false-drop rate that a policy allows at a step; undefined when it has no alpha there. */
export function alphaAt(policy: Policy, step: number): number | undefined {
  if (policy.name !== 'max_false_drop') return undefined;
  return policy.alphas ? policy.alphas[String(step)] : (policy.alpha ?? DEFAULT_ALPHA);
}

/** The alphas of all steps. */
export function alphasOf(policy: Policy): number[] {
  if (policy.name !== 'max_false_drop') return [];
  return policy.alphas ? Object.values(policy.alphas) : [policy.alpha ?? DEFAULT_ALPHA];
}

/** The steps for which a policy gives an alpha. The policy is wrong for a probe without a decision point at each of them. */
export function stepsNamed(policy: Policy): number[] {
  return policy.name === 'max_false_drop' ? Object.keys(policy.alphas ?? {}).map(Number) : [];
}

/** The share of would-be drops that is finished, 0 to 1. */
export function explorationRate({ explore }: Policy): number {
  return explore?.rate ?? DEFAULT_EXPLORATION_RATE;
}
