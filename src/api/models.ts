/** Owns GET /models and POST /models/reload: which probes there are, what they take, how good they are, and what is new. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { policySchema } from '../decision/policy.js';
import { type Policies, ruleFor } from '../config/policies.js';
import { manifestSchema } from '../probe/manifest.js';
import type { BatchingStatus, Engine, ProbeStatus } from '../engine/types.js';
import { problemResponses } from './problem-responses.js';

const { backbone, capture, capture_id, metric, inputs, decision_points, evaluation } = manifestSchema.shape;

const batchingSchema = z
  .object({
    best_samples: z.int().describe('The size from which larger batches bring next to nothing'),
    max_padded_tokens: z
      .int()
      .nullable()
      .describe(
        'Samples times the tokens of the longest, in one batch at most; null where MAX_BATCH_SAMPLES is set',
      ),
    ms_per_padded_token: z.number(),
    ms_per_run: z
      .number()
      .describe('A batch takes ms_per_padded_token · samples · tokens + ms_per_run, measured at warm-up'),
    pace: z.number().describe('How much slower runs are now than at warm-up'),
  })
  .meta({ id: 'Batching', description: 'What was found out about a probe’s batches by running some.' });

const modelSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    state: z
      .enum(['serving', 'available', 'refused'])
      .describe('serving: what the bare name means; available: by name@version; refused: see reason'),
    reason: z
      .string()
      .nullable()
      .describe(
        'Why what lies in the folder was refused; where state is not refused, what was loaded before goes on',
      ),
    provider: z.enum(['cpu', 'cuda']).nullable(),
    fallback: z.string().nullable().describe('Why CUDA was not taken although DEVICE is auto'),
    batching: batchingSchema.nullable(),
    sha256: z.string().nullable().describe('Of model.onnx'),
    policy: policySchema.nullable().describe('The policy of requests that bring none'),
    policy_override: z
      .enum(['allowed', 'forbidden'])
      .nullable()
      .describe('Whether a request may bring its own policy'),
    contract: z
      .object({ backbone, capture, capture_id, metric, inputs, decision_points, evaluation })
      .nullable()
      .describe(
        'What the probe takes and what it was found to be worth; null where its probe.json could not be read',
      ),
  })
  .meta({ id: 'Model', description: 'One version of a probe.' });

const modelsSchema = z
  .object({
    models: z.array(modelSchema),
    policies_refusal: z
      .string()
      .nullable()
      .describe('Why the policies file as it stands does not hold, but what it said before'),
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
          reason: z.string().nullable().describe('Of a refusal'),
        }),
      )
      .describe('What this look has changed; a refused version changes nothing that is loaded'),
  })
  .meta({ id: 'Reloaded' });

export interface ModelsRouteOptions {
  readonly engine: Engine;
  /** What holds now. */
  readonly policies: () => Policies;
  readonly policiesRefusal: () => string | undefined;
}

export async function registerModels(
  app: FastifyInstance,
  { engine, policies, policiesRefusal }: ModelsRouteOptions,
) {
  const describeModels = (): z.input<typeof modelsSchema> => ({
    models: engine.probes().map((probe) => describeModel(probe, policies())),
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

function describeModel(probe: ProbeStatus, book: Policies): z.input<typeof modelSchema> {
  const { name, version, state, reason = null, provider = null, sha256 = null, manifest = null } = probe;
  const { fallback = null, batching } = probe;
  const rule = state === 'refused' ? undefined : ruleFor(book, name);
  return {
    name,
    version,
    state,
    reason,
    provider,
    fallback,
    batching: batching ? describeBatching(batching) : null,
    sha256,
    policy: rule?.policy ?? null,
    policy_override: rule ? (rule.allow_override ? 'allowed' : 'forbidden') : null,
    contract: manifest,
  };
}

function describeBatching(batching: BatchingStatus): z.input<typeof batchingSchema> {
  return {
    best_samples: batching.bestSamples,
    max_padded_tokens: batching.maxPaddedTokens ?? null,
    ms_per_padded_token: batching.msPerPaddedToken,
    ms_per_run: batching.msPerRun,
    pace: batching.pace,
  };
}

function listRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'listModels',
    summary: 'List the probes of the model repository',
    tags: ['models'],
    response: {
      '200': {
        description: 'Every version of every probe',
        content: { 'application/json': { schema: modelsSchema } },
      },
    },
  };
}

function reloadRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'reloadModels',
    summary: 'Take over what has changed in the model repository, at once',
    description:
      'The service looks for changes by itself every MODELS_POLL_MS; this spares the wait, and tells what was refused. ' +
      'It answers when every new version is loaded, tested and warmed up in every worker. Scoring goes on meanwhile.',
    tags: ['models'],
    response: {
      '200': {
        description: 'What has changed, and every version of every probe',
        content: { 'application/json': { schema: reloadSchema } },
      },
      ...problemResponses(['internal', 'unready']),
    },
  };
}
