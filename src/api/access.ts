/** Who sends a request: refuses requests without a valid API key, when the operator has set keys, and names the tenant. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { problem } from '../errors.js';
import type { ApiKeys } from '../config/key-files.js';

/** Health checks have no key, and the documentation is public. */
const OPEN_ROUTES =
  /^(?:\/livez|\/readyz|\/v2|\/v2\/health\/(?:live|ready)|\/openapi\.json|\/|\/docs(?:\/.*)?)$/;
const BEARER = /^Bearer +(\S+) *$/i;
const MAX_NAME = 64;
const IPV4_IN_IPV6 = /^::ffff:(?=\d+\.)/i;
const GROUPS = 8;
/** A client commonly has a whole IPv6 network of 64 bits. */
const NETWORK_GROUPS = 4;

/** Whose turn a request takes. */
export interface Tenant {
  readonly name: string;
  /** The name is that of an API key, so there are few of them. */
  readonly isKey: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route needs no API key. */
    readonly isPublic?: boolean;
  }
  interface FastifyRequest {
    tenant: Tenant;
  }
}

export interface AccessOptions {
  /** Returns the keys now in force; undefined when no key is needed. */
  readonly apiKeys: () => ApiKeys | undefined;
  /** The header, in lower case, that names the tenant of a request without API key. */
  readonly tenantHeader?: string | undefined;
}

/** Adds `request.tenant`: the API key's id, else the value of the header, else the client's address. */
export function identifyTenants(app: FastifyInstance, { apiKeys, tenantHeader }: AccessOptions): void {
  app.decorateRequest('tenant');
  app.addHook('onRequest', (request, reply, done) => {
    const keys = apiKeys();
    const route = request.routeOptions.url;
    // An unknown address is answered with 404.
    const isPublic = request.routeOptions.config.isPublic === true;
    if (!keys || route === undefined || isPublic || OPEN_ROUTES.test(route)) {
      request.tenant = { name: nameOf(request, tenantHeader), isKey: false };
      return done();
    }
    const [, key = ''] = BEARER.exec(request.headers.authorization ?? '') ?? [];
    const owner = keys.ownerOf(key);
    if (owner !== undefined) {
      request.tenant = { name: owner, isKey: true };
      return done();
    }
    reply.header('www-authenticate', 'Bearer');
    throw problem('unauthorized', 'The request has no valid API key.', {
      field: 'authorization',
      expected: 'Bearer and an API key',
    });
  });
}

function nameOf(request: FastifyRequest, tenantHeader: string | undefined): string {
  const named = tenantHeader === undefined ? undefined : request.headers[tenantHeader];
  const name = named?.toString().trim().slice(0, MAX_NAME) ?? '';
  return name === '' ? networkOf(request.socket.remoteAddress ?? 'local') : name;
}

/** The address of a client, and of an IPv6 address its network. A Unix domain socket is `local`. */
export function networkOf(address: string): string {
  const plain = address.replace(IPV4_IN_IPV6, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail = ''] = plain.split('::');
  const groups = head.split(':');
  const zeros = Math.max(0, GROUPS - groups.length - tail.split(':').length);
  return `${[...groups, ...Array<string>(zeros).fill('0')].slice(0, NETWORK_GROUPS).join(':')}::/64`;
}
