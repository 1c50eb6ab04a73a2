/** POST /score: its headers, its media types and its schema. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { type ErrorCode, ERRORS } from '../errors.js';
import { type BodyFormat, SAFETENSORS } from './body-format.js';
import { problemResponses, responseHeader } from './docs.js';
import { answerScore, type ScoreRouteOptions } from './score-exchange.js';
import { binaryRequestSchema, jsonRequestSchema, scoreAnswerSchema } from './score-schemas.js';

const BINARY_TYPES = ['application/octet-stream', 'application/vnd.safetensors'];
const JSON_TYPE = 'application/json';

/** Failures that /score never answers as errors; it answers `deadline` with 200 `failed_open`. */
const NOT_FROM_SCORE: ReadonlySet<ErrorCode> = new Set([
  'not_found',
  'method_not_allowed',
  'headers_too_large',
  'invalid_feedback',
  'deadline',
]);
const FAILURES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !NOT_FROM_SCORE.has(code));

/** Adds POST /score in a scope of its own, in which bodies stay unread streams. @param json reads bodies of JSON. */
export async function registerScore(
  app: FastifyInstance,
  { json, ...options }: ScoreRouteOptions & { readonly json: BodyFormat },
) {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([...BINARY_TYPES, JSON_TYPE], (_request, payload, done) => done(null, payload));

  app.post('/score', {
    schema: scoreRouteSchema(),
    // The schema is documentation: wire/ and score-fields.ts check requests, and TypeScript the answer. Returning true
    // instead of a value keeps Fastify from copying the headers. See docs/adr/0007-cheap-refusals.md.
    validatorCompiler: () => () => true,
    serializerCompiler: () => JSON.stringify,
    handler: (request, reply) =>
      answerScore(request, reply, options, () => (isJson(request) ? json : SAFETENSORS)),
  });
}

function isJson({ headers }: FastifyRequest): boolean {
  return (headers['content-type'] ?? '').toLowerCase().startsWith(JSON_TYPE);
}

function scoreRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'score',
    summary: 'Predict the quality of samples mid-denoise and decide whether to go on',
    description:
      'Takes the early cross-attention of the candidates of one prompt, all at one decision point. ' +
      'With `x-deadline-ms`, a service that cannot answer in time answers `failed_open`: keep every sample. ' +
      'To try it, send the file `examples/group.safetensors` of the repository.',
    tags: ['score'],
    headers: z.object({
      'x-deadline-ms': z.number().optional().meta({
        description: 'Time left for the answer, from the request’s first byte, ms',
        example: 2000,
      }),
      'x-policy': z.string().optional().meta({
        description: 'The policy as JSON; it replaces the one in the body',
        example: '{"name":"top_k","k":2}',
      }),
    }),
    body: {
      required: true,
      content: {
        'application/octet-stream': { schema: binaryRequestSchema },
        [JSON_TYPE]: { schema: jsonRequestSchema },
      },
    },
    response: {
      '200': {
        description: 'Scores and decisions, or `failed_open`',
        headers: responseHeader('server-timing', 'Time per stage, ms'),
        content: { [JSON_TYPE]: { schema: scoreAnswerSchema } },
      },
      ...problemResponses(FAILURES),
    },
  };
}
