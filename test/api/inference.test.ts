/** Tests the routes of the Open Inference Protocol with a real engine: they answer what POST /score answers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';

import type { FastifyInstance } from 'fastify';

import type { Scored } from '../../src/api/score-schemas.js';
import { parseApiKeys } from '../../src/config/key-files.js';
import { problem } from '../../src/errors.js';
import { fakeEngine, LIMITS, operatorFiles, startApp, startRealApp } from '../support/app.js';
import { inferenceRequest } from '../../bench/load/inference-request.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody, tensorsOf } from '../support/samples.js';

const POLICY = '{"name":"top_k","k":1,"explore":{"rate":0}}';
const samples = randomSamples(TINY_SIZE, 3, 4, 21);
const tensors = tensorsOf(samples);

interface Answer {
  readonly id?: string;
  readonly model_name: string;
  readonly model_version: string;
  readonly parameters: Record<string, string>;
  readonly outputs: { name: string; datatype: string; shape: number[]; data: (number | null)[] }[];
}

async function infer(
  app: FastifyInstance,
  others: object = {},
  { url = '/v2/models/tiny/infer', headers = {}, encode = (body: Buffer): Buffer => body } = {},
) {
  const { body, jsonBytes } = inferenceRequest(tensors, others);
  return app.inject({
    method: 'POST',
    url,
    headers: { 'inference-header-content-length': String(jsonBytes), ...headers },
    payload: encode(body),
  });
}

async function scores(app: FastifyInstance): Promise<Scored> {
  const headers = { 'content-type': 'application/octet-stream' };
  const payload = Buffer.from(scoreBody(samples, { policy: POLICY }));
  return (await app.inject({ method: 'POST', url: '/score', headers, payload })).json();
}

test('binary inputs are scored and decided as by /score', async (t) => {
  const { app } = await startRealApp(t);
  const expected = (await scores(app)).results;
  const response = await infer(app, { id: '7', parameters: { policy: POLICY } });
  assert.equal(response.statusCode, 200, response.body);
  const { id, model_name, model_version, parameters, outputs } = response.json<Answer>();
  assert.deepEqual([id, model_name, model_version], ['7', 'tiny', '1']);
  assert.deepEqual(
    outputs.map(({ name, datatype, shape }) => [name, datatype, shape]),
    [
      ['score', 'FP32', [4]],
      ['decision', 'UINT8', [4]],
      ['rank', 'INT32', [4]],
      ['percentile', 'FP32', [4]],
      ['p_good', 'FP32', [4]],
      ['threshold', 'FP32', [4]],
    ],
  );
  const data = Object.fromEntries(outputs.map(({ name, data: values }) => [name, values]));
  assert.deepEqual(
    data['score'],
    expected.map(({ score }) => score),
  );
  assert.deepEqual(
    data['decision'],
    expected.map(({ decision }) => Number(decision === 'keep')),
  );
  assert.deepEqual(
    data['rank'],
    expected.map(({ rank }) => rank),
  );
  assert.deepEqual(data['threshold'], [null, null, null, null]);
  const { receipts, outcome } = parameters;
  assert.equal(outcome, 'scored');
  assert.equal((JSON.parse(receipts ?? '') as string[]).length, 4);
});

test('the form of the body makes no difference', async (t) => {
  const { app } = await startRealApp(t);
  const others = { parameters: { policy: POLICY }, outputs: [{ name: 'score' }] };
  const outputsOf = async (response: ReturnType<typeof infer>) => (await response).json<Answer>().outputs;
  const expected = await outputsOf(infer(app, others));
  const forms = { gzip: gzipSync, deflate: deflateSync };
  for (const [coding, encode] of Object.entries(forms)) {
    assert.deepEqual(
      await outputsOf(infer(app, others, { headers: { 'content-encoding': coding }, encode })),
      expected,
    );
  }
  const inputs = Object.entries(tensorsOf(samples, 'F32')).map(([name, { dtype, shape, data }]) => ({
    name,
    datatype: dtype === 'U8' ? 'UINT8' : 'FP32',
    shape,
    data: [...(data as Float32Array)],
  }));
  const json = app.inject({
    method: 'POST',
    url: '/v2/models/tiny/versions/1/infer',
    payload: { ...others, inputs },
  });
  assert.deepEqual(await outputsOf(json), expected);
});

test('outputs come in binary form when that is asked for', async (t) => {
  const { app } = await startRealApp(t);
  const response = await infer(app, { parameters: { binary_data_output: true } });
  const jsonBytes = Number(response.headers['inference-header-content-length']);
  assert.equal(response.rawPayload.length - jsonBytes, 4 * (4 + 1 + 4 + 4 + 4 + 4));
  const { results } = await scores(app);
  assert.equal(response.rawPayload.readFloatLE(jsonBytes), Math.fround(results[0]?.score ?? NaN));
});

/** An app whose engine fails each request. */
async function overloadedApp(t: TestContext): Promise<FastifyInstance> {
  const engine = fakeEngine({ score: async () => Promise.reject(problem('overloaded', 'full')) });
  return (await startApp(t, engine)).app;
}

test('with a timeout a failure of the service keeps every sample', async (t) => {
  const response = await infer(await overloadedApp(t), { parameters: { timeout: 2_000_000 } });
  assert.equal(response.statusCode, 200);
  const { parameters, outputs } = response.json<Answer>();
  assert.deepEqual(parameters, { outcome: 'failed_open', reason: 'overloaded' });
  const data = Object.fromEntries(outputs.map(({ name, data: values }) => [name, values]));
  assert.deepEqual(data['decision'], [1, 1, 1, 1]);
  assert.deepEqual(data['score'], [null, null, null, null]);
});

test('a timeout that is too short is a deadline', async (t) => {
  const never = fakeEngine({
    score: async (_probe, _body, { signal = AbortSignal.abort() } = {}) => {
      if (!signal.aborted) await once(signal, 'abort');
      throw signal.reason;
    },
  });
  const { app } = await startApp(t, never);
  const response = await infer(app, { parameters: { timeout: 20_000 } });
  assert.deepEqual(response.json<Answer>().parameters, { outcome: 'failed_open', reason: 'deadline' });
});

test('a timeout that is too long is refused, because no timer could hold it', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const response = await infer(app, { parameters: { timeout: 1e13 } });
  assert.equal(response.statusCode, 400);
  assert.match(response.json<{ error: string }>().error, /timeout is too long/);
});

test('without a timeout it is an error', async (t) => {
  const response = await infer(await overloadedApp(t));
  assert.equal(response.statusCode, 503);
  assert.equal(response.headers['content-type'], 'application/json');
  assert.deepEqual(response.json(), { error: 'full', code: 'overloaded' });
});

for (const [what, url, others, status, text] of [
  ['an unknown probe', '/v2/models/none/infer', {}, 404, /no probe/],
  ['an unknown version', '/v2/models/tiny/versions/9/infer', {}, 404, /no probe/],
  ['an unknown output', '/v2/models/tiny/infer', { outputs: [{ name: 'x' }] }, 400, /no such output/],
  [
    'an unknown parameter',
    '/v2/models/tiny/infer',
    { parameters: { x: 1 } },
    422,
    /no metadata field named "x"/,
  ],
] as const) {
  test(`${what} is refused with an error in the protocol's form`, async (t) => {
    const { app } = await startRealApp(t);
    const response = await infer(app, others, { url });
    assert.equal(response.statusCode, status);
    assert.match(response.json<{ error: string }>().error, text);
  });
}

test('a small body that decompresses to a large one is refused', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const encode = (): Buffer => gzipSync(Buffer.alloc(LIMITS.maxBodyBytes + 1));
  const response = await infer(app, {}, { headers: { 'content-encoding': 'gzip' }, encode });
  assert.equal(response.statusCode, 413);
});

test('a body that is not compressed as announced is refused', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  assert.equal((await infer(app, {}, { headers: { 'content-encoding': 'gzip' } })).statusCode, 400);
  assert.equal((await infer(app, {}, { headers: { 'content-encoding': 'br' } })).statusCode, 415);
});

test('the length of the JSON must lie within the body', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  for (const length of ['-1', 'x', '99999'])
    assert.equal(
      (await infer(app, {}, { headers: { 'inference-header-content-length': length } })).statusCode,
      400,
    );
});

test('the probe is described as in its manifest', async (t) => {
  const { app } = await startRealApp(t);
  const get = async (url: string) => (await app.inject({ url })).json<Record<string, unknown>>();
  const { inputs, outputs, ...rest } = await get('/v2/models/tiny');
  assert.deepEqual(rest, { name: 'tiny', versions: ['1'], platform: 'onnxruntime_onnx' });
  const { layers, height, width } = TINY_SIZE;
  assert.deepEqual((inputs as object[])[0], {
    name: 'attention',
    datatype: 'FP16',
    shape: [-1, layers, -1, height, width],
  });
  assert.equal((outputs as object[]).length, 6);
  const config = await get('/v2/models/tiny/config');
  assert.equal(config['max_batch_size'], LIMITS.maxSamplesPerRequest);
  assert.deepEqual((config['input'] as object[])[0], {
    name: 'attention',
    data_type: 'TYPE_FP16',
    dims: [layers, -1, height, width],
  });
});

test('statistics count requests, samples, runs and time', async (t) => {
  const { app, listen } = await startRealApp(t);
  await listen();
  await infer(app);
  await infer(app, { parameters: { x: 1 } });
  interface Statistics {
    readonly model_stats: {
      name: string;
      inference_count: number;
      execution_count: number;
      inference_stats: Record<string, { count: number; ns: number }>;
    }[];
  }
  const { model_stats } = (await app.inject({ url: '/v2/models/tiny/stats' })).json<Statistics>();
  const [statistics] = model_stats;
  assert.equal(statistics?.name, 'tiny');
  assert.equal(statistics.inference_count, 4);
  assert.ok(statistics.execution_count >= 1);
  assert.equal(statistics.inference_stats['success']?.count, 1);
  assert.ok((statistics.inference_stats['compute_infer']?.ns ?? 0) > 0);
  assert.deepEqual((await app.inject({ url: '/v2/models/stats' })).json(), { model_stats });
});

test('the server, its readiness and its repository are described', async (t) => {
  const { app } = await startRealApp(t);
  const server = (await app.inject({ url: '/v2' })).json<{ name: string; extensions: string[] }>();
  assert.equal(server.name, 'diffusion-probe');
  for (const url of [
    '/v2/health/live',
    '/v2/health/ready',
    '/v2/models/tiny/ready',
    '/v2/models/tiny/versions/1/ready',
  ])
    assert.equal((await app.inject({ url })).statusCode, 200, url);
  assert.equal((await app.inject({ url: '/v2/models/none/ready' })).statusCode, 404);
  const index = await app.inject({ method: 'POST', url: '/v2/repository/index' });
  assert.deepEqual(index.json(), [{ name: 'tiny', version: '1', state: 'READY', reason: '' }]);
  const load = await app.inject({ method: 'POST', url: '/v2/repository/models/tiny/load', payload: {} });
  assert.equal(load.statusCode, 200);
  const unload = await app.inject({ method: 'POST', url: '/v2/repository/models/tiny/unload', payload: {} });
  assert.match(unload.json<{ error: string }>().error, /removing its folder/);
});

test('an engine that is not ready is not', async (t) => {
  const { app } = await startApp(
    t,
    fakeEngine({ readiness: () => ({ ready: false, reason: 'no probe was found' }) }),
  );
  const response = await app.inject({ url: '/v2/health/ready' });
  assert.equal(response.statusCode, 503);
  assert.deepEqual(response.json(), { error: 'no probe was found', code: 'unready' });
});

test('with API keys all but the health routes need one', async (t) => {
  const keys = parseApiKeys(JSON.stringify({ keys: [{ id: 'a', sha256: '0'.repeat(64) }] }));
  const apiKeys = () => keys;
  const { app } = await startApp(t, fakeEngine(), { operatorFiles: operatorFiles({ apiKeys }) });
  assert.equal((await app.inject({ url: '/v2/health/ready' })).statusCode, 200);
  assert.equal((await app.inject({ url: '/v2/models/tiny' })).statusCode, 401);
  assert.equal((await infer(app)).statusCode, 401);
});
