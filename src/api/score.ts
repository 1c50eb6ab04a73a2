/** Owns POST /score: its headers, its media types, and that a probe which cannot answer costs no image. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { PredictionMargin } from '../engine/prediction-margin.js';
import { type ErrorCode, isFailOpenReason, problem } from '../errors.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { UnscoredEvent } from '../telemetry/score-metrics.js';
import type { RequestTrace, Tracing } from '../telemetry/tracing.js';
import { ClientGoneError, RequestDeadline, readDeadline } from './request-deadline.js';
import { problemResponses } from './problem-responses.js';
import { toProblem } from './problems.js';
import { responseHeaders } from './response-headers.js';
import { failedOpenAnswer } from './score-answer.js';
import type { Findings, ScorePipeline, ScoreSource } from './score-pipeline.js';
import {
  binaryRequestSchema,
  type FailedOpen,
  jsonRequestSchema,
  type Scored,
  scoreAnswerSchema,
} from './score-schemas.js';
import { StageClock } from './stage-clock.js';
import { closeIfMuchIsUnread } from './unread-body.js';

const BINARY_TYPES = ['application/octet-stream', 'application/vnd.safetensors'];
const JSON_TYPE = 'application/json';

const FAILURES: readonly ErrorCode[] = [
  'malformed_request',
  'malformed_body',
  'invalid_header',
  'unauthorized',
  'model_not_found',
  'length_required',
  'body_too_large',
  'unsupported_media_type',
  'unknown_tensor',
  'missing_tensor',
  'wrong_dtype',
  'wrong_shape',
  'empty_batch',
  'too_many_samples',
  'foreign_capture',
  'not_a_decision_point',
  'mixed_decision_points',
  'step_mismatch',
  'invalid_metadata',
  'invalid_policy',
  'policy_override_forbidden',
  'attention_not_finite',
  'attention_out_of_range',
  'attention_mass',
  'invalid_token_mask',
  'value_not_finite',
  'invalid_value',
  'internal',
  'overloaded',
  'unready',
];

export interface ScoreRouteOptions {
  readonly pipeline: ScorePipeline;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
}

/** What kept a request from getting scores. */
type Failure = Pick<UnscoredEvent, 'outcome' | 'reason'>;
type Ending = Failure | typeof SCORED;

const SCORED = { outcome: 'scored', reason: 'none' } as const;

/** Adds POST /score in a scope of its own, where bodies stay unread streams. */
export async function registerScore(app: FastifyInstance, { pipeline, metrics, tracing }: ScoreRouteOptions) {
  const lateness = new PredictionMargin();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([...BINARY_TYPES, JSON_TYPE], (_request, payload, done) => done(null, payload));

  app.post('/score', {
    schema: scoreRouteSchema(),
    // The schema describes; wire/ and score-fields.ts check, with better messages. A value in place of true would make Fastify
    // copy all headers whenever one is read.
    validatorCompiler: () => () => true,
    // The answer's type is the schema's, so checking each once more would only cost time.
    serializerCompiler: () => JSON.stringify,
    handler: async (request, reply) => {
      const clock = new StageClock(request.arrivedAt);
      const life = new RequestDeadline(
        reply.raw,
        readDeadline(request.headers['x-deadline-ms']),
        request.arrivedAt,
        lateness,
      );
      const findings: Findings = {};
      const trace = tracing?.begin(request.headers, request.arrivedAt);
      let ending: Ending = SCORED;
      try {
        return await answer(request, life, clock, findings, trace);
      } catch (error) {
        const failure = failureOf(error, life);
        ending = failure;
        const { outcome, reason } = failure;
        metrics.countUnscored({ outcome, reason, probe: findings.probe, samples: findings.samples });
        return failOpen(error, failure, request, findings);
      } finally {
        life.end();
        finish(request, reply, clock, findings, ending, trace);
      }
    },
  });

  async function answer(
    request: FastifyRequest,
    life: RequestDeadline,
    clock: StageClock,
    findings: Findings,
    trace: RequestTrace | undefined,
  ): Promise<Scored> {
    const scored = await pipeline(sourceOf(request), life, clock, findings, trace);
    const { probe, policy, point } = findings;
    if (probe && policy && point)
      metrics.countScored({ probe, policy, step: point.step, results: scored.results });
    return scored;
  }

  function finish(
    request: FastifyRequest,
    reply: FastifyReply,
    clock: StageClock,
    findings: Findings,
    { outcome, reason }: Ending,
    trace: RequestTrace | undefined,
  ): void {
    const { probe, policy, point, samples } = findings;
    const endedAt = clock.stop();
    metrics.observeStages(probe, clock.intervals());
    if (probe) metrics.addWait(probe, endedAt - clock.startedAt);
    trace?.end({
      to: endedAt,
      stages: clock.intervals().filter(({ stage }) => stage !== 'total'),
      attributes: {
        'http.request.method': request.method,
        'http.route': '/score',
        'diffusion_probe.request_id': request.id,
        'diffusion_probe.outcome': outcome,
        'diffusion_probe.reason': reason,
        'diffusion_probe.model': probe?.name,
        'diffusion_probe.version': probe?.version,
        'diffusion_probe.provider': probe?.provider,
        'diffusion_probe.policy': policy?.name,
        'diffusion_probe.step': point?.step,
        'diffusion_probe.samples': samples,
      },
      isFault: outcome === 'failed' || outcome === 'failed_open',
    });
    reply.header('server-timing', clock.header());
    closeIfMuchIsUnread(request, reply);
  }
}

function failureOf(error: unknown, life: RequestDeadline): Failure {
  if (error instanceof ClientGoneError) return { outcome: 'gone', reason: 'none' };
  const { code: reason } = toProblem(error);
  if (!isFailOpenReason(reason)) return { outcome: 'refused', reason };
  return { outcome: life.deadline === undefined ? 'failed' : 'failed_open', reason };
}

/** With a deadline, a failure of the service is an answer: keep everything. Without one, it is an error. */
function failOpen(
  error: unknown,
  { outcome, reason }: Failure,
  request: FastifyRequest,
  { probe, policy }: Findings,
): FailedOpen {
  if (outcome !== 'failed_open' || reason === 'none' || !isFailOpenReason(reason)) throw error;
  const { cause, detail } = toProblem(error);
  if (reason === 'internal') request.log.error({ code: reason, err: cause ?? error }, 'failed open');
  // Under overload these are thousands a second, and the metrics count them.
  else request.log.debug({ code: reason, detail }, 'failed open');
  return failedOpenAnswer(reason, probe, policy);
}

function sourceOf(request: FastifyRequest): ScoreSource {
  const contentLength = request.headers['content-length'];
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw problem('unsupported_media_type', 'A compressed body is not taken.', {
      field: 'content-encoding',
      received: encoding,
      expected: 'identity',
    });
  }
  const type = request.headers['content-type'] ?? '';
  const format = type.toLowerCase().startsWith(JSON_TYPE) ? 'json' : 'safetensors';
  const policyHeader = request.headers['x-policy']?.toString();
  return { stream: request.raw, contentLength, format, policyHeader };
}

function scoreRouteSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'score',
    summary: 'Predict the quality of samples mid-denoise and decide whether to go on',
    description:
      'Takes the early cross-attention of the candidates of one prompt, all at one decision point. ' +
      'With `x-deadline-ms`, a service that cannot answer in time says `failed_open`: keep everything.',
    tags: ['score'],
    headers: z.object({
      'x-deadline-ms': z.number().optional().meta({
        description: 'Time left for the answer, counted from the request’s first byte, ms',
        example: 2000,
      }),
      'x-policy': z.string().optional().meta({
        description: 'The policy as JSON, in place of the one in the body',
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
        headers: responseHeaders({ 'server-timing': 'Time per stage, ms' }),
        content: { [JSON_TYPE]: { schema: scoreAnswerSchema } },
      },
      ...problemResponses(FAILURES),
    },
  };
}
