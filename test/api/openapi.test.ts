/** Tests that the OpenAPI document is up to date and its examples work. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { readExamples } from '../../src/api/docs.js';
import { jsonRequestSchema } from '../../src/api/score-schemas.js';
import { ERRORS } from '../../src/errors.js';
import { startRealApp, startShippedApp } from '../support/app.js';

const DOCUMENT = new URL('../../../openapi/openapi.json', import.meta.url);

interface Operation {
  requestBody?: { content: Record<string, { examples?: Record<string, { value: object }> }> };
  responses: Record<
    string,
    { headers?: Record<string, { schema: unknown }>; content?: Record<string, unknown> }
  >;
}

function operations(): [string, Operation][] {
  const { paths } = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as {
    paths: Record<string, Record<string, Operation>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method} ${path}`,
      operation,
    ]),
  );
}

test('the app serves the same document', async (t) => {
  const { app } = await startRealApp(t, { examples: readExamples() });
  const shown = (await app.inject('/openapi.json')).json<{ openapi: string; paths: object }>();
  const kept = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as { openapi: string; paths: object };
  assert.equal(shown.openapi, '3.1.0');
  assert.deepEqual(shown.paths, kept.paths);
});

test('every example is answered with 200 scored by the probe of this repository', async (t) => {
  const { app } = await startShippedApp(t);
  const score = operations().find(([name]) => name === 'post /score')?.[1];
  const examples = Object.entries(score?.requestBody?.content['application/json']?.examples ?? {});
  assert.ok(examples.length > 0);
  for (const [name, { value }] of examples) {
    const response = await app.inject({ method: 'POST', url: '/score', payload: value });
    assert.equal(response.statusCode, 200, `${name}: ${response.body}`);
    assert.equal(response.json<{ outcome: string }>().outcome, 'scored', name);
  }
});

test('/score documents both bodies and each failure that it can answer', () => {
  const score = operations().find(([name]) => name === 'post /score')?.[1];
  assert.deepEqual(Object.keys(score?.requestBody?.content ?? {}), [
    'application/octet-stream',
    'application/json',
  ]);
  const described = JSON.stringify(score?.responses);
  const elsewhere = new Set([
    'not_found',
    'method_not_allowed',
    'request_timeout',
    'headers_too_large',
    'deadline',
    'invalid_feedback',
  ]);
  for (const code of Object.keys(ERRORS)) {
    if (!elsewhere.has(code)) assert.ok(described.includes(`\`${code}\``), code);
  }
});

test('response headers have a plain schema, not one that @fastify/swagger has nested twice', () => {
  for (const [name, { responses }] of operations()) {
    for (const header of Object.values(responses).flatMap((response) =>
      Object.values(response.headers ?? {}),
    )) {
      assert.deepEqual(header.schema, { type: 'string' }, name);
    }
  }
});

const LENGTHS = { longest: 'x'.repeat(256), tooLong: 'x'.repeat(257) };

for (const [what, member, code] of [
  ['an unknown member', { colour: 'red' }, 'invalid_metadata'],
  ['a step of seven digits', { step: 1_000_000 }, 'invalid_metadata'],
  ['six digits of total_steps', { total_steps: 999_999 }, 'step_mismatch'],
  ['seven digits of total_steps', { total_steps: 1_000_000 }, 'invalid_metadata'],
  ['an empty group', { group: '' }, 'invalid_metadata'],
  ['the longest group', { group: LENGTHS.longest }, undefined],
  ['a group that is too long', { group: LENGTHS.tooLong }, 'invalid_metadata'],
  ['a number as the group', { group: 7 }, 'malformed_body'],
  ['an object as the model', { model: {} }, 'malformed_body'],
  ['false as the capture_id', { capture_id: false }, 'malformed_body'],
  ['an empty id', { sample_ids: [''] }, 'invalid_metadata'],
  ['an id that is too long', { sample_ids: [LENGTHS.tooLong] }, 'invalid_metadata'],
  ...['model', 'policy', 'group', 'sample_ids', 'step', 'total_steps', 'capture_id'].map(
    (name) => [`null as ${name}`, { [name]: null }, undefined] as const,
  ),
] as const) {
  test(`the document and the service agree on ${what}`, async (t) => {
    const { app } = await startShippedApp(t);
    const example = readExamples().requests['one_sample']?.value;
    const payload = { ...example, ...member };
    const response = await app.inject({ method: 'POST', url: '/score', payload });
    assert.equal(response.json<{ code?: string }>().code, code);
    // The probe's own steps are not part of the form.
    assert.equal(
      jsonRequestSchema.safeParse(payload).success,
      code === undefined || code === 'step_mismatch',
    );
  });
}

test('the document and the service refuse an unknown member beside the feedback', async (t) => {
  const { app } = await startRealApp(t);
  const payload = { feedback: [{ receipt: 'r', quality: 1 }], colour: 'red' };
  const response = await app.inject({ method: 'POST', url: '/feedback', payload });
  assert.equal(response.json<{ code?: string }>().code, 'invalid_feedback');
  const { components } = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as {
    components: { schemas: Record<string, { additionalProperties?: boolean }> };
  };
  assert.equal(components.schemas['Feedback']?.additionalProperties, false);
});

test('every body has an example, and no array is a closed tuple', () => {
  const text = readFileSync(DOCUMENT, 'utf8');
  assert.ok(!text.includes('"prefixItems"'));
  for (const [name, { requestBody, responses }] of operations()) {
    const bodies = [requestBody, ...Object.values(responses)].flatMap((body) =>
      Object.entries(body?.content ?? {}),
    );
    for (const [type, body] of bodies) {
      if (type === 'application/octet-stream') continue;
      const { examples = {} } = body as { examples?: object };
      assert.ok(Object.keys(examples).length > 0, `${name} ${type}`);
    }
  }
});
