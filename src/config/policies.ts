/** Which policy applies to which probe: the rules of the operator's policies file, or the shipped rule. */
import * as z from 'zod';

import { DEFAULT_ALPHA, type Policy, policySchema } from '../decision/policy.js';
import { parseJsonFile } from './json-file.js';

/** The rule of one probe. */
const ruleSchema = z.strictObject({
  policy: policySchema.describe('The policy of requests without one'),
  allow_override: z
    .boolean()
    .default(true)
    .describe('Whether a request may bring its own policy; true when omitted'),
});

const policiesSchema = z.strictObject({
  default: ruleSchema.optional().describe('For probes that are not listed'),
  models: z.record(z.string(), ruleSchema).default({}).describe('By the probe’s name'),
});

export type PolicyRule = z.infer<typeof ruleSchema>;

/** The rules of all probes. */
export type Policies = z.infer<typeof policiesSchema>;

const SHIPPED_RULE: PolicyRule = {
  policy: { name: 'max_false_drop', alpha: DEFAULT_ALPHA },
  allow_override: true,
};

/** The rules without a policies file. */
export const DEFAULT_POLICIES: Policies = { default: SHIPPED_RULE, models: {} };

/** The rule of a probe. */
export function ruleFor(policies: Policies, model: string): PolicyRule {
  // hasOwn, because "constructor" is a valid name of a probe.
  const own = Object.hasOwn(policies.models, model) ? policies.models[model] : undefined;
  return own ?? policies.default ?? SHIPPED_RULE;
}

/** The policy of requests to a probe that do not bring their own. */
export function policyFor(policies: Policies, model: string): Policy {
  return ruleFor(policies, model).policy;
}

/** Every policy that applies to requests without one. */
export function policiesInForce({ default: rule = SHIPPED_RULE, models }: Policies): Policy[] {
  return [rule, ...Object.values(models)].map(({ policy }) => policy);
}

/**
 * Reads the text of a policies file.
 * @throws {Error} with the place and the mistake.
 */
export function parsePolicies(text: string): Policies {
  return parseJsonFile(policiesSchema, text);
}
