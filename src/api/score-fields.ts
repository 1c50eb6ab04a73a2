/** Reads and checks the metadata of a request: the texts beside its tensors. */
import * as z from 'zod';

import type { PolicyRule } from '../config/policies.js';
import { keptByStep, type Policy, policySchema, stepsNamed } from '../decision/policy.js';
import type { ServedProbe } from '../engine/types.js';
import { quoted } from '../disclosure.js';
import { problem, type ProblemError } from '../errors.js';
import { type Conditions, isConditions } from '../probe/conditions.js';
import { FINGERPRINT, fingerprintOf } from '../probe/fingerprint.js';

const MAX_TEXT = 256;
/** Characters. Checking a policy takes longer than parsing it. See docs/adr/0025-json-off-the-event-loop.md. */
const MAX_POLICY_TEXT = 8192;

/** Characters. */
const MAX_CONDITIONS_TEXT = 32_768;

/** A text of a request. */
export const shortText = z.string().min(1).max(MAX_TEXT);
/** Stops at the first wrong id; a list of shortText would collect an issue for each. */
const idList = z.array(z.unknown()).transform((ids, context): string[] => {
  const index = ids.findIndex((id) => typeof id !== 'string' || id.length === 0 || id.length > MAX_TEXT);
  if (index === -1) return ids as string[];
  return addFirstIssue(context, shortText.safeParse(ids[index]).error, [index]);
});
/** The highest step that a request can name. */
export const MAX_CALL_NUMBER = 999_999;
const callNumber = z
  .string()
  .regex(/^[1-9]\d{0,5}$/, 'must be a whole number from 1')
  .transform(Number);

const fieldsSchema = z.object({
  model: shortText.optional(),
  policy: jsonText(policySchema, MAX_POLICY_TEXT).optional(),
  group: shortText.optional(),
  sample_ids: jsonText(idList).optional(),
  step: callNumber.optional(),
  total_steps: callNumber.optional(),
  capture_id: shortText.optional(),
  conditions_id: z.string().regex(FINGERPRINT, 'must be 16 lower-case hex digits').optional(),
  conditions: jsonText(
    z.custom<Conditions>(isConditions, 'must be an object that is not nested deeply'),
    MAX_CONDITIONS_TEXT,
  ).optional(),
});

/** Fields that safetensors libraries add by themselves. */
const IGNORED = new Set(['format']);

export interface ScoreFields {
  readonly model: string | undefined;
  readonly policy: Policy | undefined;
  readonly group: string | undefined;
  readonly sampleIds: readonly string[] | undefined;
  readonly step: number | undefined;
  readonly totalSteps: number | undefined;
  readonly captureId: string | undefined;
  readonly conditionsId: string | undefined;
  readonly conditions: Conditions | undefined;
}

/**
 * Reads a request's metadata.
 * @param policyHeader replaces the policy in the metadata, when it is given.
 * @throws {ProblemError} `invalid_policy` or `invalid_metadata`, with the field, the received and the expected value.
 */
export function readScoreFields(
  inBody: ReadonlyMap<string, string>,
  policyHeader: string | undefined,
): ScoreFields {
  const metadata = policyHeader === undefined ? inBody : new Map(inBody).set('policy', policyHeader);
  refuseUnknown(metadata);
  const parsed = fieldsSchema.safeParse(Object.fromEntries(metadata));
  if (!parsed.success) throw invalidField(metadata, parsed.error.issues[0]);
  const {
    model,
    policy,
    group,
    sample_ids: sampleIds,
    step,
    total_steps: totalSteps,
    capture_id: captureId,
    conditions_id: conditionsId,
    conditions,
  } = parsed.data;
  checkConditionsId(conditionsId, conditions);
  return { model, policy, group, sampleIds, step, totalSteps, captureId, conditionsId, conditions };
}

/** Otherwise one caller could give the hash of another's conditions a wrong meaning. */
function checkConditionsId(id: string | undefined, conditions: Conditions | undefined): void {
  if (id === undefined || conditions === undefined) return;
  const expected = fingerprintOf(conditions);
  if (id === expected) return;
  throw problem('invalid_metadata', 'The field "conditions_id" is not the hash of "conditions".', {
    field: 'conditions_id',
    received: id,
    expected,
  });
}

/**
 * Checks that there is one id per sample, when there are ids.
 * @throws {ProblemError} `invalid_metadata`
 */
export function checkSampleIds(sampleIds: readonly string[] | undefined, samples: number): void {
  if (sampleIds === undefined || sampleIds.length === samples) return;
  throw problem('invalid_metadata', `There are ${sampleIds.length} ids for ${samples} samples.`, {
    field: 'sample_ids',
    received: sampleIds.length,
    expected: samples,
  });
}

/**
 * The request's own policy, if it has one and the service allows that; else the service's policy for the probe.
 * @param rule the operator's rule for the probe.
 * @throws {ProblemError} `policy_override_forbidden`, `invalid_policy`
 */
export function choosePolicy(rule: PolicyRule, probe: ServedProbe, own: Policy | undefined): Policy {
  if (own === undefined) return rule.policy;
  if (rule.allow_override) return withKnownBudget(withKnownSteps(own, probe), probe);
  throw problem('policy_override_forbidden', 'This service sets the policy; omit it from the request.', {
    field: 'policy',
    received: own,
    expected: 'no policy',
  });
}

/** In a request, an unknown step is a mistake. In the operator's policies file it is ignored, so that no request fails. */
function withKnownSteps(policy: Policy, { manifest }: ServedProbe): Policy {
  const known = manifest.decision_points.map(({ step }) => step);
  const { member, steps } = stepsNamed(policy);
  const unknown = steps.find((step) => !known.includes(step));
  if (unknown === undefined) return policy;
  throw problem('invalid_policy', `The probe has no decision point at step ${unknown}.`, {
    field: `policy.${member}.${unknown}`,
    received: unknown,
    expected: known,
  });
}

/** As with steps, the operator's own budget without a plan is no mistake of the request: nothing is dropped then. */
function withKnownBudget(policy: Policy, { manifest }: ServedProbe): Policy {
  if (policy.name !== 'plan' || keptByStep(policy, manifest.plans)) return policy;
  throw problem('invalid_policy', `The probe has no plan for the budget ${policy.budget}.`, {
    field: 'policy.budget',
    received: policy.budget,
    expected: manifest.plans.map(({ budget }) => budget),
  });
}

function refuseUnknown(metadata: ReadonlyMap<string, string>): void {
  const known = Object.keys(fieldsSchema.shape);
  const unknown = [...metadata.keys()].find((key) => !known.includes(key) && !IGNORED.has(key));
  if (unknown === undefined) return;
  throw problem('invalid_metadata', `There is no metadata field named ${quoted(unknown)}.`, {
    field: unknown,
    received: unknown,
    expected: known,
  });
}

function invalidField(
  metadata: ReadonlyMap<string, string>,
  issue: z.core.$ZodIssue | undefined,
): ProblemError {
  const [name = 'metadata', ...inner] = (issue?.path ?? []).map(String);
  const message = issue?.message ?? 'not valid';
  return problem(
    name === 'policy' ? 'invalid_policy' : 'invalid_metadata',
    `The field "${name}" is not valid: ${message}.`,
    {
      field: [name, ...inner].join('.'),
      received: metadata.get(name),
      expected: message,
    },
  );
}

/** A text that holds JSON; the issue keeps its path within it. */
function jsonText<Schema extends z.ZodType>(schema: Schema, maxLength = Infinity) {
  return z
    .string()
    .max(maxLength)
    .transform((text, context): z.infer<Schema> => {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'must be JSON' });
        return z.NEVER;
      }
      const parsed = schema.safeParse(value);
      return parsed.success ? parsed.data : addFirstIssue(context, parsed.error);
    });
}

/** invalidField() shows only the first issue, and there may be thousands. */
function addFirstIssue(
  context: z.RefinementCtx,
  error: z.ZodError | undefined,
  at: PropertyKey[] = [],
): never {
  const issue = error?.issues[0];
  const message =
    issue?.code === 'unrecognized_keys'
      ? `it has an unknown member, ${quoted(issue.keys[0])}`
      : issue?.code === 'invalid_key'
        ? issue.issues[0]?.message
        : issue?.message;
  context.addIssue({ code: 'custom', path: [...at, ...(issue?.path ?? [])], message });
  return z.NEVER;
}
