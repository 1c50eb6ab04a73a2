/** Owns GET /metrics. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import type { Metrics } from '../telemetry/metrics.js';

export async function registerMetrics(app: FastifyInstance, { metrics }: { readonly metrics: Metrics }) {
  app.get('/metrics', { schema: routeSchema() }, async (_request, reply) => {
    reply.type(metrics.registry.contentType).serializer(String);
    return metrics.registry.metrics();
  });
}

function routeSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'metrics',
    summary: 'Expose the metrics in the Prometheus text format',
    tags: ['telemetry'],
    response: { '200': { description: 'The metrics', content: { 'text/plain': { schema: z.string() } } } },
  };
}
