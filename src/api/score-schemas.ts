/** The schemas of POST /score's requests and answers for the OpenAPI document. */
import * as z from 'zod';

import { OVERRIDES } from '../decision/decide.js';
import { policySchema } from '../decision/policy.js';
import { DECISION_REASONS } from '../decision/apply-policy.js';
import { ERRORS, FAIL_OPEN_REASONS } from '../errors.js';
import { CONDITIONS_STATES } from '../probe/conditions.js';
import { FINGERPRINT } from '../probe/fingerprint.js';
import { MAX_FOREIGN_CONDITIONS } from './score-conditions.js';
import { MAX_CALL_NUMBER, shortText } from './score-fields.js';

const resultSchema = z
  .object({
    index: z.int().min(0).describe('The sample’s index in the request'),
    id: z.string().nullable().describe('The id that the request gave the sample'),
    score: z
      .number()
      .describe('The predicted quality of the finished image, in the units of the probe’s metric'),
    percentile: z
      .number()
      .min(0)
      .max(100)
      .nullable()
      .describe('The percentile of the score among the calibration scores; null without calibration'),
    p_good: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('The probability that the finished image is good; null without calibration'),
    rank: z.int().min(1).describe('The rank among the request’s samples; 1 is the best'),
    threshold: z
      .number()
      .nullable()
      .describe('The score below which the policy drops; null when the policy has no threshold'),
    would_drop: z.boolean().describe('Whether the policy drops the sample, before any override'),
    override: z
      .enum(OVERRIDES)
      .nullable()
      .describe('Why the sample is kept although the policy would drop it'),
    decision: z.enum(['keep', 'drop']),
    reason: z.enum(DECISION_REASONS),
    receipt: z.string().describe('Send it to POST /feedback with the true quality of the finished image'),
  })
  .meta({ id: 'ScoreResult', description: 'Score and decision of one sample.' });

const scoredSchema = z
  .object({
    outcome: z.literal('scored'),
    model: z.string(),
    version: z.int(),
    provider: z.enum(['cpu', 'cuda']).describe('Where the inference ran'),
    policy: policySchema,
    conditions: z
      .enum(CONDITIONS_STATES)
      .describe(
        'Whether the images are drawn as those of the probe’s calibration. `unstated`: the request or the probe gives no conditions; `unknown`: send `conditions` with the next request; `foreign`: see foreign_conditions',
      ),
    foreign_conditions: z
      .array(z.string())
      .max(MAX_FOREIGN_CONDITIONS)
      .describe('The differences that the operator does not ignore, as dotted paths, sorted'),
    results: z.array(resultSchema).describe('One per sample, in the order of the request'),
  })
  .meta({ id: 'Scored', description: 'Every sample has a score and a decision.' });

const failedOpenSchema = z
  .object({
    outcome: z.literal('failed_open'),
    reason: z
      .enum(FAIL_OPEN_REASONS)
      .describe(FAIL_OPEN_REASONS.map((code) => `${code}: ${ERRORS[code].title}`).join('; ')),
    model: z.string().nullable(),
    version: z.int().nullable(),
    provider: z.enum(['cpu', 'cuda']).nullable(),
    policy: policySchema.nullable(),
    results: z.array(resultSchema).length(0),
  })
  .meta({ id: 'FailedOpen', description: 'The service could not answer in time: keep every sample.' });

export const scoreAnswerSchema = z
  .discriminatedUnion('outcome', [scoredSchema, failedOpenSchema])
  .meta({ id: 'ScoreAnswer' });

export type ScoreResult = z.infer<typeof resultSchema>;
export type Scored = z.infer<typeof scoredSchema>;
export type FailedOpen = z.infer<typeof failedOpenSchema>;
export type ScoreAnswer = z.infer<typeof scoreAnswerSchema>;

const jsonTensorSchema = z
  .union([
    z.object({
      dtype: z.string().describe('As in safetensors: F16, BF16, F32, U8, I64 ...'),
      shape: z.array(z.int().min(0)),
      data: z.string().describe('The elements as base64, row-major and little-endian'),
    }),
    z.array(z.unknown()).describe('Nested lists of numbers'),
  ])
  .meta({ id: 'JsonTensor', description: 'A tensor as base64, or as nested lists.' });

const callNumber = z.int().min(1).max(MAX_CALL_NUMBER);

/** The JSON body, for the document; wire/json.ts and score-fields.ts read the real ones. */
export const jsonRequestSchema = z
  .strictObject({
    tensors: z
      .object({
        attention: jsonTensorSchema.describe(
          '[batch, layers, tokens, height, width] F16, BF16 or F32: the attention probability from each image position to each kept text token',
        ),
        token_mask: jsonTensorSchema.describe('[batch, tokens] U8: 1 for a real token, 0 for padding'),
        timestep: jsonTensorSchema.describe('[batch] F32: the backbone’s own number'),
      })
      .catchall(jsonTensorSchema)
      .describe('The tensors by the names that the probe declares'),
    model: shortText.nullish().describe('`name` or `name@version`; the default probe when omitted'),
    policy: policySchema.nullish().describe('The service’s policy for the probe when omitted'),
    group: shortText
      .nullish()
      .describe(
        'A name for the candidates of one prompt; needed when sample_ids are unique only within the group',
      ),
    sample_ids: z
      .array(shortText)
      .nullish()
      .describe('One per sample, the same at every step; they decide which samples are explored'),
    step: callNumber.nullish().describe('The number of this call of the denoiser, from 1'),
    total_steps: callNumber.nullish().describe('The number of the run’s steps'),
    capture_id: shortText.nullish().describe('The hash of the settings that the attention was captured with'),
    conditions_id: z.string().regex(FINGERPRINT).nullish().describe('The hash of how the images are drawn'),
    conditions: z
      .record(z.string(), z.unknown())
      .nullish()
      .describe(
        'How the images are drawn, at most 32,768 characters of JSON; needed when an answer says `unknown`. Its hash must be conditions_id',
      ),
  })
  .meta({ id: 'ScoreRequest', description: 'The candidates of one prompt, all at one decision point.' });

/** The binary body, for the document. */
export const binaryRequestSchema = z.instanceof(Uint8Array).meta({
  override: { type: 'string', format: 'binary' },
  description:
    'A safetensors file: the tensors of ScoreRequest by name, and its other members as strings in `__metadata__` (policy, sample_ids and conditions as JSON).',
});
