/** Owns the OpenAPI document, at /openapi.json, and the pages that show it, at /docs. */
import swagger, { type SwaggerTransformObject } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { fastifyZodOpenApiPlugin, fastifyZodOpenApiTransformers } from 'fastify-zod-openapi';

import type { ScoreExamples } from './examples.js';

const TAGS = [
  { name: 'score', description: 'Scores and decisions' },
  { name: 'feedback', description: 'What became of the samples' },
  { name: 'models', description: 'The probes' },
  { name: 'health', description: 'For load balancers and supervisors' },
  { name: 'telemetry', description: 'For Prometheus' },
];

/** All that the pages need comes from this service; Swagger UI sets styles on elements. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Begins to collect the document; to be called before the routes are added. */
export async function collectDocument(
  app: FastifyInstance,
  version: string,
  examples: ScoreExamples,
): Promise<void> {
  await app.register(fastifyZodOpenApiPlugin);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Diffusion Probe',
        version,
        description:
          'Predicts, a few denoising steps in, how good a text-to-image sample will be, and decides whether to go on.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'Where the operator has set API keys' },
        },
      },
      security: [{}, { apiKey: [] }],
    },
    transform: fastifyZodOpenApiTransformers.transform,
    transformObject: (source) => {
      const document = fastifyZodOpenApiTransformers.transformObject(source);
      addExamples(document, examples);
      return document;
    },
  });
}

/** @fastify/swagger keeps a body's schema alone, so its examples are put beside it afterwards. */
function addExamples(document: ReturnType<SwaggerTransformObject>, examples: ScoreExamples): void {
  const operation = document.paths?.['/score']?.post;
  if (!operation || !('requestBody' in operation)) return;
  const body = operation.requestBody;
  const json = body && 'content' in body ? body.content['application/json'] : undefined;
  if (json) json.examples = examples.requests;
}

/** Adds the routes that show the document. */
export async function registerDocs(app: FastifyInstance): Promise<void> {
  const hidden = { schema: { hide: true } };
  app.get('/openapi.json', hidden, async () => app.swagger());
  app.get('/', hidden, async (_request, reply) => reply.redirect('/docs'));
  await app.register(registerPages);
}

/** In a scope of its own, with the headers that pages for browsers should have. */
async function registerPages(app: FastifyInstance): Promise<void> {
  app.addHook('onSend', async (_request, reply) => {
    reply.headers({
      'content-security-policy': PAGE_POLICY,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  });
  await app.register(swaggerUi, { routePrefix: '/docs', indexPrefix: '' });
}
