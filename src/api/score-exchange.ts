/** Answers one request to score and reports it. With a deadline, a failure of the service costs no image. */
import type { FastifyReply, FastifyRequest } from 'fastify';

import { isFailOpenReason } from '../errors.js';
import type { PredictionMargin } from '../prediction-margin.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Tracing } from '../telemetry/tracing.js';
import type { BodyFormat } from './body-format.js';
import { loggedFields, toProblem } from './problems.js';
import { ClientGoneError, readDeadline, RequestDeadline } from './request-deadline.js';
import { failedOpenAnswer } from './score-answer.js';
import { type Findings, type ScoreContext, StageClock } from './score-context.js';
import type { ScorePipeline } from './score-pipeline.js';
import type { FailedOpen, ScoreAnswer, ScoreResult } from './score-schemas.js';
import { type Failure, reportScore } from './score-telemetry.js';

export interface ScoreRouteOptions {
  readonly pipeline: ScorePipeline;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  /** Of all requests. */
  readonly timerLateness: PredictionMargin;
}

/**
 * The answer to a request.
 * @param formatOf the format of its body.
 * @throws {ProblemError} for a mistake of the caller, and for a failure of the service without a deadline.
 */
export async function answerScore(
  request: FastifyRequest,
  reply: FastifyReply,
  { pipeline, metrics, tracing, timerLateness }: ScoreRouteOptions,
  formatOf: (deadline: RequestDeadline) => BodyFormat,
): Promise<ScoreAnswer> {
  const { arrivedAt } = request;
  const deadlineMs = readDeadline(request.headers['x-deadline-ms']);
  const deadline = new RequestDeadline(reply.raw, deadlineMs, arrivedAt, timerLateness);
  const trace = tracing?.begin(request.headers, arrivedAt);
  const context: ScoreContext = { deadline, clock: new StageClock(arrivedAt), trace, findings: {} };
  let results: readonly ScoreResult[] = [];
  let failure: Failure | undefined;
  try {
    const { raw, headers, tenant } = request;
    const answer = await pipeline.answer(
      {
        stream: raw,
        tenant: tenant.name,
        connection: raw.socket,
        contentLength: headers['content-length'],
        format: formatOf(deadline),
        policyHeader: headers['x-policy']?.toString(),
      },
      context,
    );
    results = answer.results;
    return answer;
  } catch (error) {
    failure = failureOf(error, deadline);
    return failOpen(error, failure, request, context.findings);
  } finally {
    deadline.stop();
    context.clock.stop();
    reply.header('server-timing', context.clock.header());
    const report = (): void => reportScore(metrics, request, context, results, failure);
    // Scores are sent before they are counted.
    if (failure || reply.raw.destroyed) report();
    else reply.raw.once('close', report);
  }
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
