/**
 * Defines probe.json, the contract between training and serving: schema, type and JSON Schema.
 * manifest-rules.ts checks that its fields agree with each other; folder.ts reads it.
 */
import * as z from 'zod';

import { FINGERPRINT } from './fingerprint.js';
import { planSchema } from './plan.js';

/** The name of a probe, and of its folder. */
export const PROBE_NAME = /^[a-z0-9][a-z0-9._-]*$/;

const fileName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a plain file name')
  .describe('A file beside probe.json');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const count = z.int().positive();
const step = count.describe('The step-th call of the denoiser, counted from 1');

const captureMembers = {
  layers: z
    .array(z.string().min(1))
    .min(1)
    .describe('The cross-attention layers, in the order of the attention tensor'),
  height: count,
  width: count,
  heads: z.string().describe('How the heads are reduced to one map'),
  tokens: z.string().describe('Which tokens are kept'),
  pooling: z.string().describe('How maps are resized to height × width'),
};

/** The members of a capture in every schema_version. */
export const captureSchema = z.looseObject(captureMembers);

const capture = z
  .looseObject({
    family: z.string().min(1).describe('The family of the denoiser, such as `unet` or `flux`'),
    ...captureMembers,
    forward: z.string().min(1).describe('Which forward of a guided step is read, such as `conditional`'),
    precision: z.string().min(1).describe('The dtype in which the maps are computed and reduced'),
  })
  .describe('What is read of the denoiser. capture_id is the hash of all its members, further ones included');

/** In schema_version 1 the capture also held some of the conditions. */
const captureV1 = z
  .looseObject({
    ...captureMembers,
    scheduler: z.string(),
    total_steps: count,
    guidance: z.number(),
    resolution: z.tuple([count, count]),
  })
  .describe(
    'How the attention was captured. capture_id is the hash of all its members, further ones included',
  );

const fingerprint = z.string().regex(FINGERPRINT, 'must be 16 lower-case hex digits');

const metric = z
  .object({
    name: z.string().min(1),
    range: z.tuple([z.number(), z.number()]),
    good_at: z.number().describe('An image of at least this quality counts as good'),
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
  timestep: z.number().describe('The backbone’s own number for this call'),
  tolerance: z.number().nonnegative().describe('How far the timestep of a request may be from it'),
});

const calibrationPointV1 = z.object({
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

const shares = z.array(z.number().min(0).max(1));

const calibrationPoint = calibrationPointV1.extend({
  false_drop: z
    .object({
      captions: count.describe('Captions with a good sample'),
      score: z.array(z.number()).min(1).describe('Ascending'),
      rate: shares.describe('The share of good samples that score below, ascending'),
      error: shares.describe('Its standard error, with captions as clusters'),
    })
    .nullable()
    .default(null)
    .describe(
      'What thresholds with a confidence are computed from; when null, good_scores, which are of different captions',
    ),
});

const selftest = z
  .object({
    input: fileName.describe('A /score body in safetensors layout'),
    scores: z.array(z.number()).min(1).describe('The scores that the probe must give to it'),
    tolerance: z.number().positive(),
  })
  .describe('Scored whenever the probe is loaded');

const identity = {
  name: z.string().regex(PROBE_NAME, 'must be lower-case letters, digits, ".", "_" or "-"'),
  version: count,
  backbone: z.string().min(1),
};

const contract = {
  metric,
  inputs: z.array(graphInput).min(1).describe('Every input of the ONNX graph'),
  output: z.object({
    name: z.string().min(1),
    dtype: z.literal('F32'),
    shape: z.tuple([z.literal('batch')]),
  }),
  decision_points: z.array(decisionPoint).min(1),
};

const evidence = {
  evaluation: z.record(z.string(), z.unknown()).describe('The main figures of the evaluation, for people'),
  selftest,
  files: z.record(fileName, sha256).describe('The SHA-256 of each file of the probe'),
};

/** probe.json, schema_version 2. It does not check that the fields agree with each other. */
export const manifestSchema = z
  .object({
    schema_version: z.literal(2, 'must be 1 or 2'),
    ...identity,
    capture,
    capture_id: fingerprint,
    conditions: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe(
        'How the images of the calibration were drawn, see docs/contract.md; null when that is not known',
      ),
    conditions_id: fingerprint.nullable().describe('The hash of conditions'),
    total_steps: count.describe('The denoising steps of a run'),
    ...contract,
    calibration: z.array(calibrationPoint),
    trajectories: fileName
      .nullable()
      .describe('A file with the scores at every decision point and the quality, per prompt and seed'),
    plans: z.array(planSchema).describe('For the usual budgets, each budget once'),
    ...evidence,
  })
  .describe('What a probe predicts, which inputs it takes, and how it was calibrated');

/** probe.json, schema_version 1. */
export const manifestV1Schema = z
  .object({
    schema_version: z.literal(1),
    ...identity,
    capture: captureV1,
    capture_id: fingerprint,
    ...contract,
    calibration: z.array(calibrationPointV1),
    ...evidence,
  })
  .describe('The form of version 0.2 and before, which is still read');

/** A valid probe.json with the members of schema_version 2; `schema_version` and `capture` are as they are on disk. */
export type Manifest = Omit<z.infer<typeof manifestSchema>, 'schema_version' | 'capture'> & {
  schema_version: 1 | 2;
  capture: z.infer<typeof captureSchema>;
};
export type ManifestInput = Manifest['inputs'][number];
export type DecisionPoint = Manifest['decision_points'][number];
export type CalibrationPoint = Manifest['calibration'][number];

/** Gives a manifest of schema_version 1 the members of schema_version 2. */
export function upgraded(manifest: z.infer<typeof manifestV1Schema>): Manifest {
  return {
    ...manifest,
    conditions: null,
    conditions_id: null,
    total_steps: manifest.capture.total_steps,
    calibration: manifest.calibration.map((point) => ({ ...point, false_drop: null })),
    trajectories: null,
    plans: [],
  };
}

/** The JSON Schema of probe.json, published as models/probe.schema.json. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(z.union([manifestSchema, manifestV1Schema]), { io: 'input', target: 'draft-2020-12' }),
    title: 'Diffusion Probe: probe.json',
  };
}
