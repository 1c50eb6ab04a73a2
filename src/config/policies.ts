/** Owns which policy holds for which probe: what the operator's file says, and what holds where it says nothing. */
import * as z from 'zod';

import { DEFAULT_ALPHA, type Policy, policySchema } from '../decision/policy.js';
import { parseStrictJson } from '../wire/strict-json.js';

/** What holds for one probe. */
const ruleSchema = z.strictObject({
  policy: policySchema.describe('The policy of requests that bring none'),
  allow_override: z
    .boolean()
    .default(true)
    .describe('Whether a request may bring its own policy; true when left out'),
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

/** What holds without a file. */
export const DEFAULT_POLICIES: Policies = { default: SHIPPED_RULE, models: {} };

/** The rule of a probe. */
export function ruleFor(book: Policies, model: string): PolicyRule {
  // Not by plain access: "constructor" is a valid name of a probe.
  const own = Object.hasOwn(book.models, model) ? book.models[model] : undefined;
  return own ?? book.default ?? SHIPPED_RULE;
}

/** The policy of requests to a probe that bring none. */
export function policyFor(book: Policies, model: string): Policy {
  return ruleFor(book, model).policy;
}

/**
 * Reads the text of a policies file.
 * @throws {Error} that says what is wrong, and where.
 */
export function parsePolicies(text: string): Policies {
  const parsed = policiesSchema.safeParse(parseStrictJson(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
}
