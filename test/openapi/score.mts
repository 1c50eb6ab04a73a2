/** Scores a safetensors file with openapi-fetch and the types that openapi-typescript generates. .ci/openapi runs it. */
import { readFile } from 'node:fs/promises';

import createClient from 'openapi-fetch';

import type { paths } from './schema.js';

const bytes = await readFile(process.argv[2] ?? '');
const client = createClient<paths>({ baseUrl: process.env['ORIGIN'] ?? '' });
const { data, error } = await client.POST('/score', {
  headers: { 'Content-Type': 'application/octet-stream' },
  // The generated type of a binary body is a text; the serializer sends the file in its place.
  body: '',
  bodySerializer: () => new Blob([bytes]),
});
if (data?.outcome !== 'scored') throw new Error(`not scored: ${JSON.stringify(data ?? error)}`);
process.stdout.write(
  `${JSON.stringify(data.results.map(({ index, decision, score }) => [index, decision, score]))}\n`,
);
