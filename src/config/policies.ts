/** Which policy applies to which probe: the rules of the operator's policies file, or the shipped rule. */
import * as z from 'zod';

import { DEFAULT_ALPHA, type Policy, policySchema } from '../decision/policy.js';
import { parseJsonFile } from './json-file.js';

/** What to do when images are drawn under other conditions than those of the probe's calibration. */
const FOREIGN_ACTIONS = ['keep', 'warn', 'ignore'] as const;

export type ForeignAction = (typeof FOREIGN_ACTIONS)[number];

/** The name of every path. */
const EVERY_PATH = '*';
/** When the operator's rule says nothing. */
export const DEFAULT_FOREIGN_ACTION: ForeignAction = 'warn';

const foreignAction = z.enum(FOREIGN_ACTIONS);

export const onForeignConditionsSchema = z
  .union([foreignAction, z.record(z.string(), foreignAction)], {
    error: `must be ${FOREIGN_ACTIONS.join(', ')}, or an object from paths to these`,
  })
  .describe(
    'When a request is drawn under other conditions than the probe’s. `keep`: keep every sample; `warn`: list the difference in the answer and count it; `ignore`: neither; by path, such as `scheduler`, `call.guidance_scale` or `*`, of which the longest that fits decides; `warn` when omitted',
  );

/** The rule of one probe. */
const ruleSchema = z.strictObject({
  policy: policySchema.describe('The policy of requests without one'),
  allow_override: z
    .boolean()
    .default(true)
    .describe('Whether a request may bring its own policy; true when omitted'),
  on_foreign_conditions: onForeignConditionsSchema.optional(),
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

/** What the rule says about a difference at a path; without a path, about conditions that are not known. */
export function foreignActionFor(
  { on_foreign_conditions: rule = DEFAULT_FOREIGN_ACTION }: PolicyRule,
  path = '',
): ForeignAction {
  if (typeof rule === 'string') return rule;
  // hasOwn, because an object has a property "constructor".
  const actionAt = (key: string): ForeignAction | undefined =>
    Object.hasOwn(rule, key) ? rule[key] : undefined;
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
    const action = actionAt(path.slice(0, end));
    if (action) return action;
  }
  return actionAt(EVERY_PATH) ?? DEFAULT_FOREIGN_ACTION;
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
