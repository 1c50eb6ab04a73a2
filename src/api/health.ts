/** GET /livez and GET /readyz: whether a supervisor should restart the process, and whether a load balancer should use it. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import type { Engine } from '../engine/types.js';
import { problem } from '../errors.js';
import { problemResponses } from './docs.js';

const liveSchema = z.object({ status: z.literal('live') }).meta({ id: 'Live' });

const readySchema = z
  .object({
    status: z.literal('ready'),
    models: z.array(
      z.object({
        name: z.string(),
        version: z.int(),
        provider: z.enum(['cpu', 'cuda']).describe('Where the probe really runs'),
      }),
    ),
  })
  .meta({ id: 'Ready' });

export interface HealthRouteOptions {
  readonly engine: Engine;
  /** True while the service stops: requests are still answered, but load balancers should send no more. */
  readonly isDraining: () => boolean;
}

export async function registerHealth(app: FastifyInstance, { engine, isDraining }: HealthRouteOptions) {
  app.get('/livez', { schema: liveRouteSchema() }, async () => ({ status: 'live' as const }));

  app.get('/readyz', { schema: readyRouteSchema() }, async () => {
    checkReady(engine, isDraining);
    const models = engine
      .probes()
      .filter(({ state }) => state === 'serving')
      .map(({ name, version, probe }) => ({ name, version, provider: probe?.provider ?? 'cpu' }));
    return { status: 'ready' as const, models };
  });
}

/** @throws {ProblemError} `unready` */
export function checkReady(engine: Pick<Engine, 'readiness'>, isDraining: () => boolean): void {
  if (isDraining()) throw problem('unready', 'The service is shutting down.');
  const { ready, reason } = engine.readiness();
  if (!ready) throw problem('unready', reason ?? 'The engine is not ready.');
}

function liveRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'live',
    summary: 'Report whether the process lives',
    description: 'For liveness checks. It does not depend on the probes.',
    security: [],
    tags: ['health'],
    response: {
      '200': { description: 'The process lives', content: { 'application/json': { schema: liveSchema } } },
      ...problemResponses([]),
    },
  };
}

function readyRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'ready',
    summary: 'Report whether requests can be scored',
    description: 'For readiness checks and load balancers. Lists the probes that answer to their bare names.',
    security: [],
    tags: ['health'],
    response: {
      '200': {
        description: 'Requests can be scored',
        content: { 'application/json': { schema: readySchema } },
      },
      ...problemResponses(['unready']),
    },
  };
}
