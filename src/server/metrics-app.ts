/** Owns the port of its own for the metrics, where the operator asks for one: no caller of the API gets there. */
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { createSerializerCompiler } from 'fastify-zod-openapi';

import { registerHealth } from '../api/health.js';
import { type MetricsRouteOptions, registerMetrics } from '../api/metrics.js';
import { installProblemHandlers } from '../api/problems.js';

export interface MetricsAppOptions extends MetricsRouteOptions {
  readonly log: FastifyBaseLogger;
  readonly isDraining: () => boolean;
}

/** Builds the app: GET /metrics, and the health routes so that one port tells all about a replica. */
export async function createMetricsApp(options: MetricsAppOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
  });
  app.setSerializerCompiler(createSerializerCompiler({ stringify: JSON.stringify }));
  app.removeAllContentTypeParsers();
  installProblemHandlers(app, options.metrics);
  await app.register(registerMetrics, options);
  await app.register(registerHealth, options);
  await app.ready();
  return app;
}
