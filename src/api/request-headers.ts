/** What is the same on every route of both ports: which headers are refused, and which answers end their connection. */
import type { IncomingMessage } from 'node:http';

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { problem } from '../errors.js';
import { addressProblem } from './problems.js';

/** Above this many unread bytes, closing the connection is cheaper than reading the rest of the body. */
const MAX_UNREAD_BYTES = 262_144;

/** Refuses headers that no route takes and addresses without a route, in onRequest: before the body is invited. */
export function checkHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    checkHost(request.raw);
    checkExpectation(request.headers.expect);
    if (request.is404) throw addressProblem(app, request, reply);
    done();
  });
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The codings of a compressed body that the route takes, in lower case; none when omitted. */
    readonly contentCodings?: readonly string[];
  }
}

/** Refuses compressed bodies, except on routes that take them. See docs/adr/0031-no-compressed-bodies.md. */
export function checkContentCoding(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const received = request.headers['content-encoding'];
    if (received === undefined) return done();
    const accepted = ['identity', ...(request.routeOptions.config.contentCodings ?? [])];
    if (accepted.includes(received.trim().toLowerCase())) return done();
    // RFC 9110, 12.5.3: it says which codings the next try may use.
    reply.header('accept-encoding', accepted.join(', '));
    throw problem('unsupported_media_type', 'This coding of bodies is not accepted.', {
      field: 'content-encoding',
      received,
      expected: accepted.join(', '),
    });
  });
}

export interface Closing {
  /** True from the first reason to stop. */
  readonly isDraining: () => boolean;
  /** Whether no other request has come after this one on its connection. */
  readonly isLatest: (request: IncomingMessage) => boolean;
}

/** Announces in an answer that its connection ends: when the service stops, and when much of a body is left unread. */
export function announceClose(
  { raw: request }: FastifyRequest,
  reply: FastifyReply,
  { isDraining, isLatest }: Closing,
): void {
  if (!isLatest(request)) {
    // Fastify sets it while it closes. The requests behind this one would lose their answers.
    if (reply.raw.hasHeader('connection')) reply.raw.removeHeader('connection');
  } else if (isDraining() || leavesMuchUnread(request)) {
    // A connection that is kept alive would delay app.close() by the keep-alive timeout (fastify/fastify#7044).
    reply.header('connection', 'close');
  }
}

/** RFC 9112, 3.2: exactly one Host. Node keeps the first of several. */
function checkHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts === 1 || (hosts === 0 && httpVersion !== '1.1')) return;
  throw problem('malformed_request', `The request has ${hosts === 0 ? 'no' : 'more than one'} Host header.`, {
    field: 'host',
    expected: 'one Host header',
  });
}

function checkExpectation(expect: string | undefined): void {
  if (expect === undefined || /^\s*100-continue\s*$/i.test(expect)) return;
  throw problem('expectation_failed', 'This expectation is unknown.', {
    field: 'expect',
    received: expect,
    expected: '100-continue',
  });
}

function leavesMuchUnread({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  if (headers['transfer-encoding'] !== undefined) return true;
  const announced = Number(headers['content-length'] ?? 0);
  // A client that has not been invited to send its body may leave it out, and goes on with another request.
  return announced > MAX_UNREAD_BYTES || (announced > 0 && headers.expect !== undefined);
}
