/** Owns how the OpenAPI document lists a route's failures: one response per status, naming the kinds of problem. */
import type { ZodOpenApiResponsesObject } from 'zod-openapi';

import { ERRORS, type ErrorCode } from '../errors.js';
import { PROBLEM_TYPE, problemSchema } from './problems.js';
import { responseHeaders } from './response-headers.js';

const RETRY_AFTER = responseHeaders({ 'retry-after': 'Seconds after which another try may succeed' });

/** The responses of a route that fails in these ways. */
export function problemResponses(codes: readonly ErrorCode[]): ZodOpenApiResponsesObject {
  const statuses = [...new Set(codes.map((code) => ERRORS[code].status))].toSorted(
    (left, right) => left - right,
  );
  return Object.fromEntries(
    statuses.map((status) => {
      const kinds = codes.filter((code) => ERRORS[code].status === status);
      const response = {
        description: kinds.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('; '),
        content: { [PROBLEM_TYPE]: { schema: problemSchema } },
        ...(status === ERRORS.overloaded.status && { headers: RETRY_AFTER }),
      };
      return [String(status), response];
    }),
  );
}
