/**
 * Owns the form of probe.json, the contract between training and serving: schema, type and JSON Schema.
 * How its fields must agree with each other stands in manifest-rules.ts, how it is read in manifest-reader.ts.
 */
import * as z from 'zod';

const fileName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a plain file name')
  .describe('A file beside probe.json');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const count = z.int().positive();
const step = count.describe('The step-th call of the denoiser, counted from 1');

const capture = z
  .looseObject({
    layers: z.array(z.string().min(1)).min(1).describe('Cross-attention layers, in the order of the tensor'),
    height: count,
    width: count,
    heads: z.string().describe('How heads are reduced'),
    tokens: z.string().describe('Which tokens are kept'),
    pooling: z.string().describe('How maps are brought to height × width'),
    scheduler: z.string(),
    total_steps: count,
    guidance: z.number(),
    resolution: z.tuple([count, count]),
  })
  .describe('How the attention was captured; hashed whole, further members included');

const metric = z
  .object({
    name: z.string().min(1),
    range: z.tuple([z.number(), z.number()]),
    good_at: z.number().describe('From this quality on an image counts as good'),
  })
  .describe('The quality of the finished image that the score predicts');

const axis = z.union([count, z.literal('batch'), z.literal('tokens')]);

const graphInput = z.object({
  name: z.string().min(1),
  dtype: z.enum(['F16', 'F32', 'U8', 'I64']),
  shape: z.array(axis).min(1),
});

const decisionPoint = z.object({
  step,
  timestep: z.number().describe('The number that the backbone itself gives to this call'),
  tolerance: z.number().nonnegative().describe('How far a timestep may lie from it'),
});

const calibrationPoint = z.object({
  step,
  captions: count,
  samples: count,
  scores: z
    .array(z.number())
    .min(2)
    .describe('Ascending quantiles of the scores, evenly spaced from 0% to 100%'),
  good_scores: z.array(z.number()).describe('Ascending scores of good samples, one sample per caption'),
  p_good: z
    .object({
      score: z.array(z.number()).min(1).describe('Ascending'),
      probability: z.array(z.number().min(0).max(1)).min(1).describe('Non-decreasing'),
    })
    .describe('The probability of being good, interpolated between scores'),
});

const selftest = z
  .object({
    input: fileName.describe('A /score body in safetensors layout'),
    scores: z.array(z.number()).min(1).describe('What the probe must answer to it'),
    tolerance: z.number().positive(),
  })
  .describe('Run whenever the probe is loaded');

/** probe.json, schema_version 1, before the rules that connect its fields. */
export const manifestSchema = z
  .object({
    schema_version: z.literal(1),
    name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower-case letters, digits, ".", "_" or "-"'),
    version: count,
    backbone: z.string().min(1),
    capture,
    capture_id: z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 lower-case hex digits'),
    metric,
    inputs: z.array(graphInput).min(1).describe('Every input of the ONNX graph'),
    output: z.object({
      name: z.string().min(1),
      dtype: z.literal('F32'),
      shape: z.tuple([z.literal('batch')]),
    }),
    decision_points: z.array(decisionPoint).min(1),
    calibration: z.array(calibrationPoint),
    evaluation: z.record(z.string(), z.unknown()).describe('The headline of the evaluation, for people'),
    selftest,
    files: z.record(fileName, sha256).describe('The SHA-256 of each file of the probe'),
  })
  .describe('What a probe is, what it takes, and how it was calibrated');

/** A valid probe.json, its members named as in the file. */
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestInput = Manifest['inputs'][number];
export type DecisionPoint = Manifest['decision_points'][number];
export type CalibrationPoint = Manifest['calibration'][number];

/** The JSON Schema that describes probe.json to other languages. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(manifestSchema, { io: 'input', target: 'draft-2020-12' }),
    title: 'Diffusion Probe: probe.json',
  };
}
