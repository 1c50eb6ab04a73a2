/** Owns who may ask: callers with an API key, where the operator has set any. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { problem } from '../errors.js';
import type { ApiKeys } from '../config/api-keys.js';
import { closeIfMuchIsUnread } from './unread-body.js';

/** Supervisors have no key, and what the pages of the API show is no secret. */
const OPEN_ROUTES = /^(?:\/livez|\/readyz|\/openapi\.json|\/|\/docs(?:\/.*)?)$/;
const BEARER = /^Bearer +(\S+) *$/i;

/** @param apiKeys those that hold now; undefined: everybody may ask. */
export function requireApiKey(app: FastifyInstance, apiKeys: () => ApiKeys | undefined): void {
  app.addHook('onRequest', async (request, reply) => {
    const keys = apiKeys();
    const route = request.routeOptions.url;
    // An address that does not exist is told as such.
    if (!keys || route === undefined || OPEN_ROUTES.test(route)) return;
    if (keys.ownerOf(shownKey(request)) !== undefined) return;
    closeIfMuchIsUnread(request, reply);
    reply.header('www-authenticate', 'Bearer');
    throw problem('unauthorized', 'The request shows no API key that is known here.', {
      field: 'authorization',
      expected: 'Bearer and an API key',
    });
  });
}

function shownKey({ headers }: FastifyRequest): string {
  return BEARER.exec(headers.authorization ?? '')?.[1] ?? '';
}
