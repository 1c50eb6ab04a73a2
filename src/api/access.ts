/** Refuses requests without a valid API key, when the operator has set keys. */
import type { FastifyInstance } from 'fastify';

import { problem } from '../errors.js';
import type { ApiKeys } from '../config/key-files.js';
import { closeIfMuchIsUnread } from './receive-body.js';

/** Health checks have no key, and the documentation is public. */
const OPEN_ROUTES = /^(?:\/livez|\/readyz|\/openapi\.json|\/|\/docs(?:\/.*)?)$/;
const BEARER = /^Bearer +(\S+) *$/i;

/** @param apiKeys returns the keys now in force; undefined when no key is needed. */
export function requireApiKey(app: FastifyInstance, apiKeys: () => ApiKeys | undefined): void {
  app.addHook('onRequest', async (request, reply) => {
    const keys = apiKeys();
    const route = request.routeOptions.url;
    // An unknown address is answered with 404.
    if (!keys || route === undefined || OPEN_ROUTES.test(route)) return;
    const [, key = ''] = BEARER.exec(request.headers.authorization ?? '') ?? [];
    if (keys.ownerOf(key) !== undefined) return;
    closeIfMuchIsUnread(request, reply);
    reply.header('www-authenticate', 'Bearer');
    throw problem('unauthorized', 'The request has no valid API key.', {
      field: 'authorization',
      expected: 'Bearer and an API key',
    });
  });
}
