/** Turns every failure into an RFC 9457 problem document. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import * as z from 'zod';

import { boundedJson, cut, fieldKind } from '../disclosure.js';
import { ERRORS, type ErrorCode, isFailOpenReason, ProblemError, problem } from '../errors.js';
import { ClientGoneError } from './request-deadline.js';

export const PROBLEM_TYPE = 'application/problem+json';

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Fastify's own error codes, and ours for them. */
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
    detail: z.string().describe('The mistake in this request'),
    code: z
      .enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]])
      .describe('The kind of problem, for programs'),
    field: z
      .string()
      .optional()
      .describe('The tensor, metadata field, header or parameter at fault; at most 100 characters'),
    received: z.unknown().optional().describe('The value that was received, or its beginning'),
    expected: z.unknown().optional().describe('The value that was expected'),
  })
  .meta({ id: 'Problem', description: 'A problem document as in RFC 9457, of at most 4096 bytes.' });

export type ProblemDocument = z.infer<typeof problemSchema>;

/** Counts failures. */
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

/** The problem for anything that was thrown. An unknown error becomes `internal`, and only the log shows where it was thrown. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const { code = '', statusCode = 500, message = '' } = error as Partial<FastifyError>;
  const known = FASTIFY_CODES[code];
  if (known) return problem(known, cut(message), { cause: error });
  if (statusCode >= 400 && statusCode < 500)
    return problem('malformed_request', cut(message), { cause: error });
  return problem('internal', 'The service failed unexpectedly.', { cause: error });
}

/** Makes an app answer every error, unknown address and wrong method with a problem document. */
export function installProblemHandlers(app: FastifyInstance, observer: ProblemObserver): void {
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientGoneError) return reply.code(error.status).send();
    return sendProblem(error, request, reply, observer);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(addressProblem(app, request, reply), request, reply, observer),
  );
}

/** Answers failures before a route is found, such as an address that cannot be decoded. */
export function answerFrameworkError(observer: ProblemObserver) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    void sendProblem(error, request, reply, observer);
  };
}

/** What the log may show of a failure. The detail of a refusal quotes the request. */
export function loggedFields(error: ProblemError, { headers }: FastifyRequest): object {
  const { code, field, detail, cause } = error;
  const bytes = Number(headers['content-length'] ?? NaN);
  return {
    code,
    ...(field !== undefined && { field: fieldKind(field) }),
    ...(Number.isSafeInteger(bytes) && { bytes }),
    ...(isFailOpenReason(code) && { detail }),
    ...(code === 'internal' && { err: cause ?? error }),
  };
}

/** Counts, logs and answers anything that was thrown. @param documentOf the answer, where it is no problem document. */
export function sendProblem(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  observer: ProblemObserver,
  documentOf?: (error: ProblemError) => object,
) {
  const error = toProblem(thrown);
  observer.countProblem(error.code);
  if (error.status >= 500) request.log.error(loggedFields(error, request), 'request failed');
  else request.log.info(loggedFields(error, request), 'request refused');
  // The rest of the body may never come.
  if (error.code === 'request_timeout') reply.header('connection', 'close');
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds);
  // JSON.stringify instead of the route's serializer, because the serializer itself may have failed.
  return reply
    .code(error.status)
    .type(documentOf ? 'application/json' : PROBLEM_TYPE)
    .serializer((document: object) => boundedJson(document))
    .send(documentOf?.(error) ?? problemDocument(error));
}

/** The problem of an address that has no route for the request's method. */
export function addressProblem(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
): ProblemError {
  const [url = '/'] = request.url.split('?');
  const allowed = METHODS.filter((method) => app.hasRoute({ method, url }));
  if (allowed.length === 0)
    return problem('not_found', `There is nothing at ${cut(url)}.`, { received: url });
  reply.header('allow', allowed.join(', '));
  return problem('method_not_allowed', `${cut(url)} does not take ${request.method}.`, {
    received: request.method,
    expected: allowed,
  });
}
