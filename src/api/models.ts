/** Owns GET /models: which probes there are, what they take, and how good they are. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { policySchema } from '../decision/policy.js';
import { type PolicyBook, ruleFor } from '../decision/policy-book.js';
import { manifestSchema } from '../engine/manifest.js';
import type { Engine, ProbeStatus } from '../engine/types.js';

const { backbone, capture, capture_id, metric, inputs, decision_points, evaluation } = manifestSchema.shape;

const modelSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    state: z
      .enum(['serving', 'available', 'refused'])
      .describe('serving: what the bare name means; available: by name@version; refused: see reason'),
    reason: z.string().nullable().describe('Why the probe was refused'),
    provider: z.enum(['cpu', 'cuda']).nullable(),
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

export interface ModelsRouteOptions {
  readonly engine: Engine;
  /** What holds now. */
  readonly policies: () => PolicyBook;
  readonly policiesRefusal: () => string | undefined;
}

export async function registerModels(
  app: FastifyInstance,
  { engine, policies, policiesRefusal }: ModelsRouteOptions,
) {
  app.get('/models', { schema: routeSchema() }, async () => ({
    models: engine.probes().map((probe) => describeModel(probe, policies())),
    policies_refusal: policiesRefusal() ?? null,
  }));
}

function describeModel(probe: ProbeStatus, book: PolicyBook): z.input<typeof modelSchema> {
  const { name, version, state, reason = null, provider = null, sha256 = null, manifest = null } = probe;
  const rule = state === 'refused' ? undefined : ruleFor(book, name);
  return {
    name,
    version,
    state,
    reason,
    provider,
    sha256,
    policy: rule?.policy ?? null,
    policy_override: rule ? (rule.allow_override ? 'allowed' : 'forbidden') : null,
    contract: manifest,
  };
}

function routeSchema(): FastifyZodOpenApiSchema {
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
