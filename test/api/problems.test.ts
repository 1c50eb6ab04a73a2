/** Tests that every failure is answered with a problem document and the right status. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';

import type { AppOptions } from '../../src/server/app.js';
import { ERRORS, type ErrorCode, problem } from '../../src/errors.js';
import { fakeEngine, LIMITS, operatorFiles, startApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { PRIVATE } from '../support/private-text.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const BINARY = { 'content-type': 'application/octet-stream' };
const JSON_TYPE = { 'content-type': 'application/json' };
const samples = randomSamples(TINY_SIZE, 3, 2);
const valid = Buffer.from(scoreBody(samples));

interface Sent {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url?: string;
  readonly headers?: Record<string, string>;
  readonly payload?: Buffer | string;
  readonly options?: Partial<AppOptions>;
}

async function answerTo(t: TestContext, sent: Sent) {
  const { app } = await startApp(t, sent.options?.engine ?? fakeEngine(), sent.options);
  const { method = 'POST', url = '/score', headers = BINARY, payload = valid } = sent;
  return app.inject({ method, url, headers, ...(method !== 'GET' && { payload }) });
}

const withMetadata = (metadata: Record<string, string>): Sent => ({
  payload: Buffer.from(scoreBody(samples, metadata)),
});
const failing = (code: ErrorCode): Sent => ({
  options: { engine: fakeEngine({ score: () => Promise.reject(problem(code, 'it fails')) }) },
});

const CASES: readonly (readonly [string, Sent, ErrorCode, string?])[] = [
  ['an unknown address', { method: 'GET', url: '/nothing' }, 'not_found'],
  ['an unknown address with a body', { url: '/nothing' }, 'not_found'],
  ['an address that cannot be decoded', { method: 'GET', url: '/%zz' }, 'malformed_request'],
  ['a wrong method', { method: 'PUT' }, 'method_not_allowed'],
  ['a wrong method on a reading route', { url: '/models' }, 'method_not_allowed'],
  [
    'a body above the limit',
    { payload: Buffer.alloc(LIMITS.maxBodyBytes + 1) },
    'body_too_large',
    'content-length',
  ],
  [
    'a JSON body above its own limit',
    { payload: Buffer.alloc(LIMITS.maxJsonBodyBytes + 1), headers: { 'content-type': 'application/json' } },
    'body_too_large',
    'content-length',
  ],
  ['an unknown media type', { headers: { 'content-type': 'text/plain' } }, 'unsupported_media_type'],
  ['no media type', { headers: {} }, 'unsupported_media_type'],
  [
    'a compressed body',
    { headers: { ...BINARY, 'content-encoding': 'gzip' } },
    'unsupported_media_type',
    'content-encoding',
  ],
  ['a body that is not safetensors', { payload: 'not safetensors' }, 'malformed_body', 'body'],
  [
    'invalid JSON',
    { payload: '{', headers: { 'content-type': 'application/json' } },
    'malformed_body',
    'body',
  ],
  [
    'a deadline that is not a number',
    { headers: { ...BINARY, 'x-deadline-ms': 'soon' } },
    'invalid_header',
    'x-deadline-ms',
  ],
  ['an empty deadline', { headers: { ...BINARY, 'x-deadline-ms': '' } }, 'invalid_header', 'x-deadline-ms'],
  [
    'an infinite deadline',
    { headers: { ...BINARY, 'x-deadline-ms': 'Infinity' } },
    'invalid_header',
    'x-deadline-ms',
  ],
  ['an unknown probe', withMetadata({ model: 'other' }), 'model_not_found', 'model'],
  [
    'an unknown probe, with a deadline',
    { ...withMetadata({ model: 'other' }), headers: { ...BINARY, 'x-deadline-ms': '100' } },
    'model_not_found',
  ],
  ['a foreign capture', withMetadata({ capture_id: '0123456789abcdef' }), 'foreign_capture', 'capture_id'],
  ['a policy that is not JSON', withMetadata({ policy: 'top_k' }), 'invalid_policy', 'policy'],
  [
    'a policy out of range',
    withMetadata({ policy: '{"name":"max_false_drop","alpha":2}' }),
    'invalid_policy',
    'policy.alpha',
  ],
  [
    'a policy out of range in the header',
    { ...withMetadata({}), headers: { ...BINARY, 'x-policy': '{"name":"top_k","k":0}' } },
    'invalid_policy',
    'policy.k',
  ],
  [
    'a policy that is too long',
    withMetadata({ policy: `{"name":"top_k","k":2${' '.repeat(8192)}}` }),
    'invalid_policy',
    'policy',
  ],
  [
    'an empty id among others',
    withMetadata({ sample_ids: '["a","","b",""]' }),
    'invalid_metadata',
    'sample_ids.1',
  ],
  [
    'a policy for a step that the probe does not know',
    withMetadata({ policy: '{"name":"max_false_drop","alphas":{"5":0.1,"6":0.1}}' }),
    'invalid_policy',
    'policy.alphas.6',
  ],
  [
    'a plan for a step that the probe does not know',
    withMetadata({ policy: '{"name":"plan","seeds":8,"keep":{"5":4,"6":2}}' }),
    'invalid_policy',
    'policy.keep.6',
  ],
  [
    'a plan for what is no step',
    withMetadata({ policy: '{"name":"plan","seeds":8,"keep":{"x":2}}' }),
    'invalid_policy',
    'policy.keep.x',
  ],
  [
    'a budget that the probe has no plan for',
    withMetadata({ policy: '{"name":"plan","budget":3}' }),
    'invalid_policy',
    'policy.budget',
  ],
  [
    'a policy that may not be chosen',
    {
      ...withMetadata({ policy: '{"name":"score_only"}' }),
      options: {
        operatorFiles: operatorFiles({
          policies: () => ({
            default: { policy: { name: 'score_only' }, allow_override: false },
            models: {},
          }),
        }),
      },
    },
    'policy_override_forbidden',
    'policy',
  ],
  ['ids that are not a list', withMetadata({ sample_ids: '"a"' }), 'invalid_metadata', 'sample_ids'],
  ['an id that is not a text', withMetadata({ sample_ids: '["a",1]' }), 'invalid_metadata', 'sample_ids.1'],
  ['too few ids', withMetadata({ sample_ids: '["a"]' }), 'invalid_metadata', 'sample_ids'],
  ['a step that is not a number', withMetadata({ step: 'five' }), 'invalid_metadata', 'step'],
  ['a step that does not fit', withMetadata({ step: '6' }), 'step_mismatch', 'step'],
  ['an unknown field', withMetadata({ polcy: '{}' }), 'invalid_metadata', 'polcy'],
  [
    'feedback that is not JSON',
    { url: '/feedback', headers: JSON_TYPE, payload: Buffer.from('{') },
    'malformed_body',
    'body',
  ],
  [
    'feedback without items',
    { url: '/feedback', headers: JSON_TYPE, payload: Buffer.from('{"feedback":[]}') },
    'invalid_feedback',
    'feedback',
  ],
  [
    'feedback with an unknown member',
    { url: '/feedback', headers: JSON_TYPE, payload: Buffer.from('{"feedback":[{}],"model":"tiny"}') },
    'invalid_feedback',
    'body',
  ],
  [
    'feedback of another media type',
    { url: '/feedback', headers: { 'content-type': 'text/plain' }, payload: Buffer.from('x') },
    'unsupported_media_type',
  ],
  ['a full queue', failing('overloaded'), 'overloaded'],
  ['an engine that is not ready', failing('unready'), 'unready'],
  ['a broken probe', failing('internal'), 'internal'],
  ['a draining service', { method: 'GET', url: '/readyz', options: { isDraining: () => true } }, 'unready'],
  [
    'an engine without a probe',
    {
      options: {
        engine: fakeEngine({
          resolve: () => {
            throw problem('model_not_found', 'none');
          },
          readiness: () => ({ ready: false, reason: 'loading' }),
        }),
      },
    },
    'unready',
  ],
  [
    'an engine that fails in an unknown way',
    { options: { engine: fakeEngine({ score: () => Promise.reject(new Error(PRIVATE)) }) } },
    'internal',
  ],
];

for (const [what, sent, code, field] of CASES) {
  test(`${what}: ${ERRORS[code].status} ${code}`, async (t) => {
    const response = await answerTo(t, sent);
    const document = response.json<Record<string, unknown>>();
    assert.equal(response.statusCode, ERRORS[code].status, response.body);
    assert.equal(response.headers['content-type'], 'application/problem+json');
    assert.equal(document['code'], code);
    assert.equal(document['status'], ERRORS[code].status);
    assert.equal(document['title'], ERRORS[code].title);
    assert.equal(document['type'], `urn:diffusion-probe:problem:${code}`);
    assert.ok(typeof document['detail'] === 'string' && document['detail'].length > 0);
    if (field !== undefined) assert.equal(document['field'], field);
    if (ERRORS[code].status === 503) assert.match(String(response.headers['retry-after']), /^\d+$/);
    assert.ok(!response.body.includes(PRIVATE));
  });
}

test('a wrong method is answered with the allowed ones', async (t) => {
  const response = await answerTo(t, { method: 'DELETE', url: '/models' });
  assert.equal(response.headers.allow, 'GET, HEAD');
});

test('problems are counted by their code', async (t) => {
  const { app, metrics } = await startApp(t, fakeEngine());
  await app.inject({ url: '/nothing' });
  assert.match(await metrics.registry.metrics(), /problems_total\{code="not_found"\} 1/);
});

/** The answer of a plain connection to bytes that may not be HTTP. */
async function answerToBytes(t: TestContext, bytes: string): Promise<string> {
  const { listen } = await startApp(t, fakeEngine());
  const { port, hostname } = new URL(await listen());
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(bytes);
  return text(socket);
}

test('a chunked body is refused, because its size is unknown', async (t) => {
  const head =
    'POST /score HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\nconnection: close\r\n';
  const answer = await answerToBytes(t, `${head}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 411 /);
  assert.match(answer, /"code":"length_required"/);
});

test('bytes that are not HTTP get a problem document too', async (t) => {
  const answer = await answerToBytes(t, 'hello\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json\r\n/);
  assert.match(answer, /"code":"malformed_request"/);
});

test('headers that are too large get a problem document too', async (t) => {
  const answer = await answerToBytes(t, `GET /livez HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.match(answer, /"code":"headers_too_large"/);
});
