/** Owns how failures leave the service: every one as an RFC 9457 problem document. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import * as z from 'zod';

import { ERRORS, type ErrorCode, ProblemError, problem } from '../errors.js';
import { ClientGoneError } from './request-deadline.js';

export const PROBLEM_TYPE = 'application/problem+json';

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** What Fastify calls its own refusals, and what they are in our table. */
const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
};

/** The document that describes a failed request. */
export const problemSchema = z
  .object({
    type: z.string().describe('A URN that names the kind of problem'),
    title: z.string().describe('The kind of problem in words'),
    status: z.int().describe('The HTTP status'),
    detail: z.string().describe('What is wrong with this request'),
    code: z
      .enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]])
      .describe('The kind of problem for programs'),
    field: z.string().optional().describe('The part of the request at fault'),
    received: z.unknown().optional().describe('What came'),
    expected: z.unknown().optional().describe('What was expected'),
  })
  .meta({ id: 'Problem', description: 'A problem document as in RFC 9457.' });

export type ProblemDocument = z.infer<typeof problemSchema>;

/** Reports failures to the log and the metrics. */
export interface ProblemObserver {
  countProblem(code: ErrorCode): void;
}

export function problemDocument(error: ProblemError): ProblemDocument {
  const { title, status, detail, code, field, received, expected } = error;
  return {
    type: `urn:diffusion-probe:problem:${code}`,
    title,
    status,
    detail,
    code,
    ...(field !== undefined && { field }),
    ...(received !== undefined && { received }),
    ...(expected !== undefined && { expected }),
  };
}

/** The table's view of anything that was thrown. What is not known becomes `internal`, its message kept for the log. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const { code = '', statusCode = 500, message = '' } = error as Partial<FastifyError>;
  const known = FASTIFY_CODES[code];
  if (known) return problem(known, message, { cause: error });
  if (statusCode >= 400 && statusCode < 500) return problem('malformed_request', message, { cause: error });
  return problem('internal', 'The service failed in a way that it does not know.', { cause: error });
}

/** Makes every error, unknown address and wrong method of an app answer with a problem document. */
export function installProblemHandlers(app: FastifyInstance, observer: ProblemObserver): void {
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientGoneError) return reply.code(error.status).send();
    return sendProblem(toProblem(error), request, reply, observer);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(addressProblem(app, request, reply), request, reply, observer),
  );
}

/** Answers what fails before a route is found, such as an address that can't be decoded. */
export function answerFrameworkError(observer: ProblemObserver) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    void sendProblem(toProblem(error), request, reply, observer);
  };
}

function sendProblem(
  error: ProblemError,
  request: FastifyRequest,
  reply: FastifyReply,
  observer: ProblemObserver,
) {
  observer.countProblem(error.code);
  const fields = { code: error.code, field: error.field, detail: error.detail };
  if (error.status >= 500) request.log.error({ ...fields, err: error.cause ?? error }, 'request failed');
  else request.log.info(fields, 'request refused');
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds);
  // Without a serializer: the failure of a serializer must itself be answered.
  return reply
    .code(error.status)
    .type(PROBLEM_TYPE)
    .serializer((document: unknown) => JSON.stringify(document))
    .send(problemDocument(error));
}

function addressProblem(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): ProblemError {
  const [url = '/'] = request.url.split('?');
  const allowed = METHODS.filter((method) => app.hasRoute({ method, url }));
  if (allowed.length === 0) return problem('not_found', `There is nothing at ${url}.`, { received: url });
  reply.header('allow', allowed.join(', '));
  return problem('method_not_allowed', `${url} does not take ${request.method}.`, {
    received: request.method,
    expected: allowed,
  });
}
