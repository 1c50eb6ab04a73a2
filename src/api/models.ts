/** GET /models and POST /models/reload: the probes, their contracts and evaluations, and the changes of a reload. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { policySchema } from '../decision/policy.js';
import {
  DEFAULT_FOREIGN_ACTION,
  onForeignConditionsSchema,
  type Policies,
  ruleFor,
} from '../config/policies.js';
import { captureSchema, type Manifest, manifestSchema } from '../probe/manifest.js';
import type { Engine, ProbeStatus, ServedProbe } from '../engine/types.js';
import { problemResponses } from './docs.js';

const { conditions, conditions_id, total_steps, plans, ...members } = manifestSchema.shape;
const { backbone, capture_id, metric, inputs, decision_points, evaluation } = members;

const batchingSchema = z
  .object({
    best_samples: z.int().describe('The size above which larger batches gain almost nothing'),
    max_padded_tokens: z
      .int()
      .nullable()
      .describe(
        'Maximum of samples · tokens of the longest sample in one batch; null when MAX_BATCH_SAMPLES is set',
      ),
    ms_per_padded_token: z.number(),
    ms_per_run: z
      .number()
      .describe('A batch takes ms_per_padded_token · samples · tokens + ms_per_run, as measured at warm-up'),
    pace: z.number().describe('The duration of a batch now, relative to warm-up'),
  })
  .meta({ id: 'Batching', description: 'What was measured about a probe’s batches.' });

const modelSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    state: z
      .enum(['serving', 'available', 'refused'])
      .describe('serving: answers to the bare name; available: answers to name@version; refused: see reason'),
    reason: z
      .string()
      .nullable()
      .describe(
        'Why the present content of the folder was refused; unless state is refused, the version loaded before is in use',
      ),
    provider: z.enum(['cpu', 'cuda']).nullable(),
    fallback: z.string().nullable().describe('Why CUDA is not used although DEVICE is auto'),
    batching: batchingSchema.nullable(),
    sha256: z.string().nullable().describe('The hash of model.onnx'),
    policy: policySchema.nullable().describe('The policy of requests without one'),
    policy_override: z
      .enum(['allowed', 'forbidden'])
      .nullable()
      .describe('Whether a request may bring its own policy'),
    on_foreign_conditions: onForeignConditionsSchema.nullable(),
    contract: z
      .object({
        schema_version: z.literal([1, 2]),
        backbone,
        capture: captureSchema.describe('What is read of the denoiser; it has further members'),
        capture_id,
        conditions: conditions.optional(),
        conditions_id: conditions_id.optional(),
        total_steps: total_steps.optional(),
        plans: plans.optional(),
        metric,
        inputs,
        decision_points,
        evaluation,
      })
      .nullable()
      .describe(
        'The inputs of the probe and its evaluation, as in its probe.json: conditions, conditions_id, total_steps and plans since schema_version 2; null when it could not be read',
      ),
  })
  .meta({ id: 'Model', description: 'One version of a probe.' });

type Contract = NonNullable<z.input<typeof modelSchema>['contract']>;

const modelsSchema = z
  .object({
    models: z.array(modelSchema),
    policies_refusal: z
      .string()
      .nullable()
      .describe('Why the current policies file was refused; the version before it is in force'),
  })
  .meta({ id: 'Models' });

const reloadSchema = modelsSchema
  .extend({
    changes: z
      .array(
        z.object({
          name: z.string(),
          version: z.int(),
          change: z.enum(['loaded', 'replaced', 'refused', 'unloaded']),
          reason: z.string().nullable().describe('Why it was refused'),
        }),
      )
      .describe('The changes of this reload; a refused version changes nothing that is loaded'),
  })
  .meta({ id: 'Reloaded' });

export interface ModelsRouteOptions {
  readonly engine: Engine;
  /** Returns the policies now in force. */
  readonly policies: () => Policies;
  readonly policiesRefusal: () => string | undefined;
}

export async function registerModels(
  app: FastifyInstance,
  { engine, policies, policiesRefusal }: ModelsRouteOptions,
) {
  const describeModels = (): z.input<typeof modelsSchema> => ({
    models: engine.probes().map((status) => describeModel(status, policies())),
    policies_refusal: policiesRefusal() ?? null,
  });

  app.get('/models', { schema: listRouteSchema() }, async () => describeModels());

  app.post('/models/reload', { schema: reloadRouteSchema() }, async () => {
    const changes = await engine.reload();
    return {
      changes: changes.map((change) => ({ reason: null, ...change })),
      ...describeModels(),
    };
  });
}

function describeModel(status: ProbeStatus, policies: Policies): z.input<typeof modelSchema> {
  const { name, version, state, reason = null, probe } = status;
  const rule = state === 'refused' ? undefined : ruleFor(policies, name);
  return {
    name,
    version,
    state,
    reason,
    provider: probe?.provider ?? null,
    fallback: probe?.fallback ?? null,
    batching: probe ? describeBatching(probe.plan) : null,
    sha256: probe?.sha256 ?? null,
    policy: rule?.policy ?? null,
    policy_override: rule ? (rule.allow_override ? 'allowed' : 'forbidden') : null,
    on_foreign_conditions: rule ? (rule.on_foreign_conditions ?? DEFAULT_FOREIGN_ACTION) : null,
    contract: probe ? describeContract(probe.manifest) : null,
  };
}

/** The members of probe.json as they are on disk. */
function describeContract(manifest: Manifest): Contract {
  const { conditions: _conditions, conditions_id: _id, total_steps: _steps, plans: _plans, ...v1 } = manifest;
  return manifest.schema_version === 1 ? v1 : manifest;
}

function describeBatching(plan: ServedProbe['plan']): z.input<typeof batchingSchema> {
  return {
    best_samples: plan.bestSamples,
    max_padded_tokens: plan.maxPaddedTokens ?? null,
    ms_per_padded_token: plan.msPerPaddedToken,
    ms_per_run: plan.msPerRun,
    pace: plan.pace,
  };
}

function listRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'listModels',
    summary: 'List the probes of the model repository',
    description: 'Lists refused versions too, each with its reason.',
    tags: ['models'],
    response: {
      '200': {
        description: 'Every version of every probe',
        content: { 'application/json': { schema: modelsSchema } },
      },
      ...problemResponses(['unauthorized']),
    },
  };
}

function reloadRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'reloadModels',
    summary: 'Load the changes in the model repository now',
    description:
      'The service looks for changes every MODELS_POLL_MS; a reload avoids the wait and reports what was refused. ' +
      'It answers when every new version is loaded, tested and warmed up in every worker. Scoring continues meanwhile.',
    tags: ['models'],
    response: {
      '200': {
        description: 'The changes, and every version of every probe',
        content: { 'application/json': { schema: reloadSchema } },
      },
      ...problemResponses(['unauthorized', 'internal', 'unready']),
    },
  };
}
