/** The OpenAPI document at /openapi.json, the pages that show it at /docs, and how routes describe their responses for it. */
import { readFileSync } from 'node:fs';

import swagger, { type SwaggerTransformObject } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { fastifyZodOpenApiPlugin, fastifyZodOpenApiTransformers } from 'fastify-zod-openapi';
import type { oas31, ZodOpenApiResponsesObject } from 'zod-openapi';

import { ERRORS, type ErrorCode, RETRY_STATUSES } from '../errors.js';
import { ANSWERS, problemExamples, REQUESTS } from './document-examples.js';
import { PROBLEM_TYPE, problemSchema } from './problems.js';

const OPENAPI_FOLDER = new URL('../../../openapi/', import.meta.url);
const TITLE = 'Diffusion Probe';

/** Named examples of JSON bodies for POST /score, each of which is answered with 200 `scored`. */
export interface ScoreExamples {
  readonly requests: Record<string, { readonly summary: string; readonly value: object }>;
}

const RETRY_AFTER = responseHeader('retry-after', 'Seconds after which another try may succeed');

const TAGS = [
  { name: 'score', description: 'Scores and decisions' },
  { name: 'feedback', description: 'True qualities of finished images' },
  { name: 'models', description: 'The probes' },
  { name: 'health', description: 'For load balancers and supervisors' },
  { name: 'telemetry', description: 'For Prometheus' },
];

/** The pages load only from this service. Swagger UI needs inline styles. */
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

/** Reads openapi/examples.json. */
export function readExamples(): ScoreExamples {
  return JSON.parse(readFileSync(new URL('examples.json', OPENAPI_FOLDER), 'utf8')) as ScoreExamples;
}

/** What any route can answer because of its headers. */
const HEADER_CODES: readonly ErrorCode[] = [
  'malformed_request',
  'unsupported_media_type',
  'expectation_failed',
];

/** The responses of a route that can fail with these codes, or by its headers: one per status, which lists its codes. */
export function problemResponses(others: readonly ErrorCode[]): ZodOpenApiResponsesObject {
  const codes = [...new Set([...HEADER_CODES, ...others])];
  const statuses = new Set(codes.map((code) => ERRORS[code].status));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const alike = codes.filter((code) => ERRORS[code].status === status);
      const response = {
        description: alike.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('; '),
        content: { [PROBLEM_TYPE]: { schema: problemSchema } },
        ...(RETRY_STATUSES.has(status) && { headers: RETRY_AFTER }),
      };
      return [String(status), response];
    }),
  );
}

/**
 * Describes a response header as a bare schema in spite of the type, because @fastify/swagger nests every header under
 * `schema`, and would nest a complete header object twice.
 */
export function responseHeader(name: string, description: string): Record<string, oas31.HeaderObject> {
  return { [name]: { type: 'string', description } as oas31.HeaderObject };
}

/** Starts to collect the document; must be called before the routes are added. */
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
        title: TITLE,
        version,
        description:
          'Predicts, a few denoising steps in, how good a text-to-image sample will be, and decides whether to go on.',
        contact: { name: 'The maintainers of Diffusion Probe' },
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'The service that serves this document' }],
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: {
            type: 'http',
            scheme: 'bearer',
            description: 'Needed when the operator has set API keys',
          },
        },
      },
      security: [{}, { apiKey: [] }],
    },
    transform: fastifyZodOpenApiTransformers.transform,
    transformObject: (source) => {
      const document = fastifyZodOpenApiTransformers.transformObject(source);
      openTuples(document);
      addExamples(document, examples);
      return document;
    },
  });
}

type Examples = Record<string, { readonly summary?: string; readonly value: unknown }>;
interface Operation {
  readonly operationId: string;
  readonly requestBody?: { readonly content: Record<string, { examples?: Examples }> };
  readonly responses: Record<
    string,
    { readonly description: string; readonly content?: Record<string, { examples?: Examples }> }
  >;
}

/** @fastify/swagger drops the examples of bodies, so they are added afterwards. */
function addExamples(document: ReturnType<SwaggerTransformObject>, examples: ScoreExamples): void {
  const paths = (document.paths ?? {}) as Record<string, Record<string, Operation>>;
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const { operationId, requestBody, responses } = operation;
    const json = requestBody?.content['application/json'];
    if (json)
      json.examples = operationId === 'score' ? examples.requests : valuesOf(REQUESTS[operationId] ?? {});
    for (const { description, content = {} } of Object.values(responses))
      for (const [type, body] of Object.entries(content))
        body.examples =
          type === PROBLEM_TYPE ? problemExamples(description) : valuesOf(ANSWERS[operationId] ?? {});
  }
}

function valuesOf(values: Readonly<Record<string, unknown>>): Examples {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
}

/** Writes tuples as arrays of fixed length, because openapi-python-client does not read `items: false`. */
function openTuples(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const schema = node as { prefixItems?: object[]; items?: unknown };
  if (schema.prefixItems && schema.items === false) {
    const kinds = [...new Map(schema.prefixItems.map((kind) => [JSON.stringify(kind), kind])).values()];
    schema.items = kinds.length === 1 ? kinds[0] : { anyOf: kinds };
    delete schema.prefixItems;
  }
  for (const inner of Object.values(node)) openTuples(inner);
}

/**
 * Adds the routes that show the document, and `/` to them unless a page is served there.
 * @param isKeyAsked whether callers must send an API key. Otherwise the pages show no padlocks.
 */
export async function registerDocs(
  app: FastifyInstance,
  { isKeyAsked, hasPage }: { readonly isKeyAsked: () => boolean; readonly hasPage: boolean },
): Promise<void> {
  const hidden = { schema: { hide: true } };
  // The first request would wait for it. See docs/adr/0025-json-off-the-event-loop.md.
  app.addHook('onReady', async () => void app.swagger());
  app.get('/openapi.json', hidden, async () => app.swagger());
  if (!hasPage) app.get('/', hidden, async (_request, reply) => reply.redirect('/docs'));
  await app.register(registerPages, { isKeyAsked });
}

/** A scope of its own, because of the security headers that only pages in a browser need. */
async function registerPages(
  app: FastifyInstance,
  { isKeyAsked }: { readonly isKeyAsked: () => boolean },
): Promise<void> {
  app.addHook('onSend', async (_request, reply) => {
    reply.headers({
      'content-security-policy': PAGE_POLICY,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  });
  const logo = readFileSync(new URL('logo.svg', OPENAPI_FOLDER));
  const icon = { filename: 'logo.svg', rel: 'icon', type: 'image/svg+xml', sizes: 'any', content: logo };
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    indexPrefix: '',
    theme: { title: TITLE, favicon: [icon] },
    logo: { type: 'image/svg+xml', content: logo },
    transformSpecification: (document) => (isKeyAsked() ? document : withoutKeys(document)),
  });
}

/** The document of a service that asks for no API key. */
function withoutKeys(document: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { components, security: _, ...rest } = document;
  const { securitySchemes: __, ...others } = components as Readonly<Record<string, unknown>>;
  return { ...rest, components: others };
}
