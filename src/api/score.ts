/** POST /score: its headers, its media types and its schema. With a deadline, a failure of the service costs no image. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { PredictionMargin } from '../prediction-margin.js';
import { type ErrorCode, ERRORS, isFailOpenReason } from '../errors.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Tracing } from '../telemetry/tracing.js';
import { problemResponses, responseHeader } from './docs.js';
import { loggedFields, toProblem } from './problems.js';
import { ClientGoneError, readDeadline, RequestDeadline } from './request-deadline.js';
import { failedOpenAnswer } from './score-answer.js';
import { type Findings, type ScoreContext, StageClock } from './score-context.js';
import type { ScorePipeline, ScoreSource } from './score-pipeline.js';
import {
  binaryRequestSchema,
  type FailedOpen,
  jsonRequestSchema,
  scoreAnswerSchema,
  type ScoreResult,
} from './score-schemas.js';
import { type Failure, reportScore } from './score-telemetry.js';

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

export interface ScoreRouteOptions {
  readonly pipeline: ScorePipeline;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
}

/** Adds POST /score in a scope of its own, in which bodies stay unread streams. */
export async function registerScore(app: FastifyInstance, { pipeline, metrics, tracing }: ScoreRouteOptions) {
  const timerLateness = new PredictionMargin();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([...BINARY_TYPES, JSON_TYPE], (_request, payload, done) => done(null, payload));

  app.post('/score', {
    schema: scoreRouteSchema(),
    // The schema is documentation: wire/ and score-fields.ts check requests, and TypeScript the answer. Returning true
    // instead of a value keeps Fastify from copying the headers. See docs/adr/0007-cheap-refusals.md.
    validatorCompiler: () => () => true,
    serializerCompiler: () => JSON.stringify,
    handler: async (request, reply) => {
      const { arrivedAt } = request;
      const deadlineMs = readDeadline(request.headers['x-deadline-ms']);
      const context: ScoreContext = {
        deadline: new RequestDeadline(reply.raw, deadlineMs, arrivedAt, timerLateness),
        clock: new StageClock(arrivedAt),
        trace: tracing?.begin(request.headers, arrivedAt),
        findings: {},
      };
      let results: readonly ScoreResult[] = [];
      let failure: Failure | undefined;
      try {
        const answer = await pipeline.answer(sourceOf(request), context);
        results = answer.results;
        return answer;
      } catch (error) {
        failure = failureOf(error, context.deadline);
        return failOpen(error, failure, request, context.findings);
      } finally {
        context.deadline.stop();
        context.clock.stop();
        reply.header('server-timing', context.clock.header());
        const report = (): void => reportScore(metrics, request, context, results, failure);
        // Scores are sent before they are counted.
        if (failure || reply.raw.destroyed) report();
        else reply.raw.once('close', report);
      }
    },
  });
}

function failureOf(error: unknown, deadline: RequestDeadline): Failure {
  if (error instanceof ClientGoneError) return { outcome: 'gone', reason: 'none' };
  const { code: reason } = toProblem(error);
  if (!isFailOpenReason(reason)) return { outcome: 'refused', reason };
  return { outcome: deadline.answerBy === undefined ? 'failed' : 'failed_open', reason };
}

/** With a deadline, a failure of the service is answered with "keep everything"; without one, it is an error. */
function failOpen(
  error: unknown,
  { outcome, reason }: Failure,
  request: FastifyRequest,
  { probe, policy }: Findings,
): FailedOpen {
  if (outcome !== 'failed_open' || reason === 'none' || !isFailOpenReason(reason)) throw error;
  const fields = loggedFields(toProblem(error), request);
  if (reason === 'internal') request.log.error(fields, 'failed open');
  // At level debug, because there are many under overload, and the metrics count them.
  else request.log.debug(fields, 'failed open');
  return failedOpenAnswer(reason, probe, policy);
}

function sourceOf(request: FastifyRequest): ScoreSource {
  const contentLength = request.headers['content-length'];
  const type = request.headers['content-type'] ?? '';
  const format = type.toLowerCase().startsWith(JSON_TYPE) ? 'json' : 'safetensors';
  const policyHeader = request.headers['x-policy']?.toString();
  return {
    stream: request.raw,
    tenant: request.tenant.name,
    connection: request.raw.socket,
    contentLength,
    format,
    policyHeader,
  };
}

function scoreRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'score',
    summary: 'Predict the quality of samples mid-denoise and decide whether to go on',
    description:
      'Takes the early cross-attention of the candidates of one prompt, all at one decision point. ' +
      'With `x-deadline-ms`, a service that cannot answer in time answers `failed_open`: keep every sample.',
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
