/** Owns how a route's response headers are described. */
import type { oas31, ZodOpenApiResponseObject } from 'zod-openapi';

/**
 * Headers by name, each a text with this description. @fastify/swagger puts what it finds here under `schema` by itself,
 * so a complete header object would end up nested twice: it gets the bare schema, whatever the type says.
 */
export function responseHeaders(
  descriptions: Readonly<Record<string, string>>,
): ZodOpenApiResponseObject['headers'] & object {
  const bare = Object.entries(descriptions).map(([name, description]) => [
    name,
    { type: 'string', description },
  ]);
  return Object.fromEntries(bare) as Record<string, oas31.HeaderObject>;
}
