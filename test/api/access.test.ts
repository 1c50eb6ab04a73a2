/** Tests access: API keys, the headers of the documentation pages, and what answers must not reveal. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import type { ProblemDocument } from '../../src/api/problems.js';
import { ProbeClient, RefusedError } from '../../clients/typescript/src/index.js';
import { createMetricsApp } from '../../src/server/app.js';
import { parseApiKeys } from '../../src/config/key-files.js';
import { createLog } from '../../src/telemetry/log.js';
import { createMetrics } from '../../src/telemetry/metrics.js';
import { fakeEngine, operatorFiles, startApp, startRealApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody, tensorsOf } from '../support/samples.js';

const KEY = 'f3oQ2b0c9r8wq1';
const OTHER_KEY = 'x9Pz11aa';
const fileOf = (...keys: string[]): string =>
  JSON.stringify({
    keys: keys.map((key, index) => ({
      id: `caller-${index}`,
      sha256: createHash('sha256').update(key).digest('hex'),
    })),
  });
const keys = parseApiKeys(fileOf(OTHER_KEY, KEY));
const guarded = { operatorFiles: operatorFiles({ apiKeys: () => keys }) };

const SCORE = {
  method: 'POST',
  url: '/score',
  headers: { 'content-type': 'application/octet-stream' },
  payload: Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2))),
} as const;

for (const [what, authorization] of [
  ['no key', undefined],
  ['an unknown key', 'Bearer nonsense'],
  ['a truncated key', `Bearer ${KEY.slice(0, -1)}`],
  ['another scheme', `Basic ${KEY}`],
] as const) {
  test(`with ${what}: 401 unauthorized, deadline or not`, async (t) => {
    const { app } = await startApp(t, fakeEngine(), guarded);
    const headers = { ...SCORE.headers, 'x-deadline-ms': '100', ...(authorization && { authorization }) };
    const response = await app.inject({ ...SCORE, headers });
    assert.equal(response.statusCode, 401);
    assert.equal(response.headers['www-authenticate'], 'Bearer');
    const document = response.json<ProblemDocument>();
    assert.deepEqual([document.code, document.field], ['unauthorized', 'authorization']);
    assert.ok(!response.body.includes(KEY.slice(0, -1)), 'the answer does not repeat the key');
  });
}

test('each of the keys gives access to /score, /feedback, /models and /metrics', async (t) => {
  const { app } = await startApp(t, fakeEngine(), guarded);
  for (const key of [KEY, OTHER_KEY]) {
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await app.inject({ ...SCORE, headers: { ...SCORE.headers, ...headers } })).statusCode, 200);
    for (const url of ['/models', '/metrics']) {
      assert.equal((await app.inject({ url })).statusCode, 401, url);
      assert.equal((await app.inject({ url, headers })).statusCode, 200, url);
    }
  }
  assert.equal((await app.inject({ method: 'POST', url: '/feedback', payload: {} })).statusCode, 401);
});

test('health checks and the documentation need no key; an unknown address is a 404', async (t) => {
  const { app } = await startApp(t, fakeEngine(), guarded);
  for (const url of ['/livez', '/readyz', '/docs', '/openapi.json'])
    assert.equal((await app.inject(url)).statusCode, 200, url);
  assert.equal((await app.inject('/nowhere')).statusCode, 404);
});

test('the documentation asks for a key only where the service does', async (t) => {
  type Document = { security?: object; paths: object; components: { securitySchemes?: object } };
  const documentOf = async (options: object) =>
    (await (await startApp(t, fakeEngine(), options)).app.inject('/docs/json')).json<Document>();
  const [open, keyed] = [await documentOf({}), await documentOf(guarded)];
  assert.deepEqual([open.security, open.components.securitySchemes], [undefined, undefined]);
  assert.ok(keyed.security && keyed.components.securitySchemes);
  assert.deepEqual(open.paths, keyed.paths);
});

test('the client sends its key', async (t) => {
  const { listen } = await startRealApp(t, guarded);
  const origin = await listen();
  const { attention } = tensorsOf(randomSamples(TINY_SIZE, 3, 2), 'F16');
  assert.ok(attention);
  const input = { attention, timestep: 778.7 };
  const client = new ProbeClient(origin, { apiKey: KEY, deadlineMs: 30_000 });
  const scored = await client.score(input);
  assert.equal(scored.outcome, 'scored');
  assert.deepEqual(await client.feedback([{ receipt: scored.results[0]?.receipt ?? '', quality: 0.5 }]), {
    accepted: 1,
    refused: [],
  });
  assert.equal((await client.models())?.[0]?.name, 'tiny');
  const other = new ProbeClient(origin, { apiKey: 'nonsense', deadlineMs: 30_000 });
  for (const call of [() => other.score(input), () => other.models()])
    await assert.rejects(call, (error) => error instanceof RefusedError && error.status === 401);
});

test('an invalid file of API keys is refused with the reason, without the hashes', () => {
  for (const [text, reason] of [
    ['{"keys": []}', /keys/],
    ['{"keys": [{"id": "a", "sha256": "abc"}]}', /keys\.0\.sha256: must be a SHA-256/],
    [fileOf('a').replace('caller-0', 'caller 0'), /keys\.0\.id/],
    [fileOf('a', 'b').replace('caller-1', 'caller-0'), /different ids/],
  ] as const)
    assert.throws(() => parseApiKeys(text), reason);
});

test('the documentation pages load nothing from other hosts and cannot be framed', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  for (const url of ['/docs', '/docs/static/index.css']) {
    const { headers } = await app.inject(url);
    assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['x-frame-options'], 'DENY');
  }
  assert.doesNotMatch(
    (await app.inject('/docs')).body,
    /<script>(?!\s*<\/script>)/,
    'no script in the page itself',
  );
});

test('the answer to a failure shows neither its message nor its stack', async (t) => {
  const score = () => Promise.reject(new TypeError('at /secret/place.js:1:1'));
  const { app } = await startApp(t, fakeEngine({ score }));
  const response = await app.inject(SCORE);
  assert.equal(response.statusCode, 500);
  assert.doesNotMatch(response.body, /secret|TypeError|\.js/);
});

test('metrics on a separate port are not served by the main port', async (t) => {
  const engine = fakeEngine();
  const metrics = createMetrics();
  const { app } = await startApp(t, engine, { ...guarded, metrics, metricsPort: 0 });
  const headers = { authorization: `Bearer ${KEY}` };
  assert.equal((await app.inject({ url: '/metrics', headers })).statusCode, 404);
  const metricsApp = await createMetricsApp({
    requestTimeoutMs: 60_000,
    keepAliveTimeoutMs: 620_000,
    metrics,
    engine,
    policies: guarded.operatorFiles.policies,
    log: createLog('silent'),
    isDraining: () => false,
  });
  t.after(() => metricsApp.close());
  assert.match((await metricsApp.inject('/metrics')).body, /^diffusion_probe_requests_total/m);
  assert.equal((await metricsApp.inject('/readyz')).statusCode, 200);
  assert.equal((await metricsApp.inject('/score')).statusCode, 404);
});
