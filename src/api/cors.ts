/** Cross-origin resource sharing: which pages may call the service from a browser. https://fetch.spec.whatwg.org/#http-cors-protocol */
import type { FastifyInstance } from 'fastify';

const ANY = '*';
const METHODS = 'GET, POST';
const REQUEST_HEADERS =
  'authorization, content-type, inference-header-content-length, traceparent, tracestate, x-deadline-ms, x-policy';
/** What a page may read beside the headers that every page may. */
const RESPONSE_HEADERS = 'inference-header-content-length, retry-after, server-timing, www-authenticate';
/** How long a browser may remember the answer to a preflight, s; browsers have lower limits of their own. */
const MAX_AGE_SECONDS = 7200;
export const PREFLIGHT_STATUS = 204;

/**
 * Allows pages of these origins to call the service. Register it before the hooks that refuse requests, because a page can read
 * a refusal only with these headers, and a preflight has neither a key nor a route.
 * @param origins such as https://app.example.com; `*` stands for all.
 */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  const allowed = new Set(origins);
  app.addHook('onRequest', (request, reply, done) => {
    const { origin, 'access-control-request-method': asked } = request.headers;
    // A cache must not give one origin's answer to another.
    if (!allowed.has(ANY)) reply.header('vary', 'origin');
    if (origin === undefined || !(allowed.has(ANY) || allowed.has(origin))) return done();
    reply.header('access-control-allow-origin', allowed.has(ANY) ? ANY : origin);
    reply.header('access-control-expose-headers', RESPONSE_HEADERS);
    if (request.method !== 'OPTIONS' || asked === undefined) return done();
    reply
      .code(PREFLIGHT_STATUS)
      .headers({
        'access-control-allow-methods': METHODS,
        'access-control-allow-headers': REQUEST_HEADERS,
        'access-control-max-age': MAX_AGE_SECONDS,
      })
      .send();
  });
}
