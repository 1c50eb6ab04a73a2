/** Owns the policies: what they are called, what they take, and which verdict they give each sample of a group. */
import * as z from 'zod';

import type { CalibrationPoint } from '../engine/manifest.js';
import { conformalThreshold } from './calibration.js';
import { bestFirst } from './ranking.js';

/** Decimal fractions such as 0.07 times 100 miss the whole number by less than this. */
const ROUNDING_SLACK = 1e-9;

const maxFalseDropPolicy = z
  .strictObject({
    name: z.literal('max_false_drop'),
    alpha: z.number().gt(0).lt(1).describe('The share of good samples that may be dropped'),
  })
  .describe('Drops what scores below a threshold that loses at most the share `alpha` of good samples');

const thresholdPolicy = z
  .strictObject({ name: z.literal('threshold'), value: z.number().describe('In the units of the score') })
  .describe('Drops what scores below `value`');

const topKPolicy = z
  .strictObject({ name: z.literal('top_k'), k: z.int().min(1).describe('How many samples to keep') })
  .describe('Keeps the best `k` samples of the group');

const topFractionPolicy = z
  .strictObject({
    name: z.literal('top_fraction'),
    fraction: z.number().gt(0).lte(1).describe('The share of samples to keep, rounded up'),
  })
  .describe('Keeps the best share of the group');

const scoreOnlyPolicy = z
  .strictObject({ name: z.literal('score_only') })
  .describe('Keeps everything: scores alone');

/** A policy as requests, settings and answers write it. */
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

export const VERDICT_REASONS = [
  'above_threshold',
  'below_threshold',
  'top_k',
  'not_top_k',
  'score_only',
  'uncalibrated',
] as const;

export type VerdictReason = (typeof VERDICT_REASONS)[number];

/** What a policy says about one sample. */
export interface Verdict {
  readonly wouldDrop: boolean;
  readonly reason: VerdictReason;
  /** The score below which the policy drops; null where it has no such score. */
  readonly threshold: number | null;
}

/**
 * Judges the samples of one group.
 * @param scores one per sample, all finite.
 * @param calibration of the decision point, where the probe has one.
 * @returns one verdict per sample, in the same order.
 */
export function judge(
  policy: Policy,
  scores: readonly number[],
  calibration: CalibrationPoint | undefined,
): Verdict[] {
  switch (policy.name) {
    case 'max_false_drop':
      return judgeByThreshold(scores, calibration && conformalThreshold(calibration, policy.alpha));
    case 'threshold':
      return judgeByThreshold(scores, policy.value);
    case 'top_k':
      return judgeByRank(scores, policy.k);
    case 'top_fraction':
      return judgeByRank(scores, Math.ceil(policy.fraction * scores.length - ROUNDING_SLACK));
    case 'score_only':
      return scores.map(() => ({ wouldDrop: false, reason: 'score_only', threshold: null }));
  }
}

function judgeByThreshold(scores: readonly number[], threshold: number | undefined): Verdict[] {
  if (threshold === undefined) {
    return scores.map(() => ({ wouldDrop: false, reason: 'uncalibrated', threshold: null }));
  }
  return scores.map((score) => {
    const wouldDrop = score < threshold;
    return { wouldDrop, reason: wouldDrop ? 'below_threshold' : 'above_threshold', threshold };
  });
}

function judgeByRank(scores: readonly number[], keep: number): Verdict[] {
  const kept = new Set(bestFirst(scores).slice(0, keep));
  return scores.map((_, index) => {
    const wouldDrop = !kept.has(index);
    return { wouldDrop, reason: wouldDrop ? 'not_top_k' : 'top_k', threshold: null };
  });
}
