/** GET /metrics: the metrics in the Prometheus text format. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { type Policies, policyFor } from '../config/policies.js';
import type { Engine } from '../engine/types.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { ExpectedProbe } from '../telemetry/score-metrics.js';
import { problemResponses } from './docs.js';

export interface MetricsRouteOptions {
  readonly metrics: Metrics;
  readonly engine: Engine;
  /** Returns the policies now in force. */
  readonly policies: () => Policies;
}

export async function registerMetrics(
  app: FastifyInstance,
  { metrics, engine, policies }: MetricsRouteOptions,
) {
  app.get('/metrics', { schema: routeSchema() }, async (_request, reply) => {
    reply.type(metrics.registry.contentType).serializer(String);
    const loaded = engine.probes().flatMap(({ name, version, probe }): ExpectedProbe[] => {
      return probe ? [{ name, version, manifest: probe.manifest, policy: policyFor(policies(), name) }] : [];
    });
    return metrics.exposition(loaded);
  });
}

function routeSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'metrics',
    summary: 'Expose the metrics in the Prometheus text format',
    description: 'With METRICS_PORT, a port of its own serves them instead.',
    tags: ['telemetry'],
    response: {
      '200': { description: 'The metrics', content: { 'text/plain': { schema: z.string() } } },
      ...problemResponses(['unauthorized']),
    },
  };
}
