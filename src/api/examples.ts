/** Owns the examples of the OpenAPI document: real requests, kept as files beside it. */
import { readFileSync } from 'node:fs';

import * as z from 'zod';

const REQUESTS_FILE = new URL('../../../openapi/examples.json', import.meta.url);

const examplesSchema = z.object({
  requests: z.record(z.string(), z.object({ summary: z.string(), value: z.record(z.string(), z.unknown()) })),
});

/** Named examples of JSON bodies for POST /score, each of which is answered with 200 `scored`. */
export type ScoreExamples = z.infer<typeof examplesSchema>;

/** Reads openapi/examples.json. */
export function readExamples(): ScoreExamples {
  return examplesSchema.parse(JSON.parse(readFileSync(REQUESTS_FILE, 'utf8')));
}
