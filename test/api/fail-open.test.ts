/** Tests that, with a deadline, no failure of the service costs an image. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';

import type { FailedOpen } from '../../src/api/score-schemas.js';
import type { Engine } from '../../src/engine/types.js';
import { problem } from '../../src/errors.js';
import { fakeEngine, startApp, startRealApp, TEST_POLICY } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2)));

function request(deadlineMs: number) {
  const headers = { 'content-type': 'application/octet-stream', 'x-deadline-ms': String(deadlineMs) };
  return { method: 'POST', url: '/score', headers, payload } as const;
}

/** The score() of an engine that never answers before the request is aborted. */
const stuck: Engine['score'] = (_probe, _body, options) =>
  new Promise((_resolve, reject) => {
    const { signal } = options ?? {};
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });

for (const reason of ['overloaded', 'tenant_limit', 'unready', 'internal', 'deadline'] as const) {
  test(`an engine that is ${reason} fails open`, async (t) => {
    const score = () => Promise.reject(problem(reason, 'it fails'));
    const { app, metrics } = await startApp(t, fakeEngine({ score }));
    const response = await app.inject(request(1000));
    assert.equal(response.statusCode, 200);
    assert.deepEqual(response.json<FailedOpen>(), {
      outcome: 'failed_open',
      reason,
      model: 'tiny',
      version: 1,
      provider: 'cpu',
      policy: TEST_POLICY,
      results: [],
    });
    assert.match(await metrics.registry.metrics(), new RegExp(`failed_open_total\\{reason="${reason}"\\} 1`));
  });
}

test('an unknown failure is internal', async (t) => {
  const { app } = await startApp(t, fakeEngine({ score: () => Promise.reject(new TypeError('oh')) }));
  assert.equal((await app.inject(request(1000))).json<FailedOpen>().reason, 'internal');
});

test('the answer comes at the deadline when the engine does not answer', async (t) => {
  const { app } = await startApp(t, fakeEngine({ score: stuck }));
  await app.inject({ url: '/livez' });
  const started = performance.now();
  const response = await app.inject(request(50));
  const tookMs = performance.now() - started;
  assert.equal(response.json<FailedOpen>().reason, 'deadline');
  assert.ok(tookMs >= 40 && tookMs < 500, String(tookMs));
});

test('a deadline that has passed is answered at once, before the body is read', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  for (const deadlineMs of [0, -3.5]) {
    const answer = (await app.inject(request(deadlineMs))).json<FailedOpen>();
    assert.deepEqual([answer.outcome, answer.reason, answer.model], ['failed_open', 'deadline', null]);
  }
});

test('the engine gets the deadline, counted from the request’s arrival', async (t) => {
  let deadline: number | undefined;
  const fake = fakeEngine();
  const score: Engine['score'] = (probe, body, options) => {
    deadline = options?.deadline;
    return fake.score(probe, body, options);
  };
  const { app } = await startApp(t, fakeEngine({ score }));
  const before = performance.now();
  await app.inject(request(700));
  assert.ok(deadline !== undefined && deadline >= before + 700 && deadline <= performance.now() + 700);
});

test('a full queue refuses requests before their bodies are read', async (t) => {
  const { app } = await startApp(t, fakeEngine({ queueRefusal: () => 'overloaded' }));
  assert.equal((await app.inject(request(1000))).json<FailedOpen>().reason, 'overloaded');
  const { 'x-deadline-ms': _deadline, ...headers } = request(1).headers;
  assert.equal((await app.inject({ ...request(1), headers })).statusCode, 503);
});

test('a request that would miss its deadline is refused before its body is read', async (t) => {
  const { app } = await startApp(t, fakeEngine({ predictedLatencyMs: () => 500 }));
  const answer = (await app.inject(request(400))).json<FailedOpen>();
  assert.deepEqual([answer.reason, answer.model], ['deadline', null]);
  assert.equal((await app.inject(request(2000))).json<{ outcome: string }>().outcome, 'scored');
});

test('bad requests are refused, with and without a deadline', async (t) => {
  const { app } = await startApp(t, fakeEngine());
  const response = await app.inject({ ...request(1000), payload: Buffer.from('junk') });
  assert.equal(response.statusCode, 400);
});

test('a real engine that is busy beyond the deadline fails open, then scores again', async (t) => {
  const { app } = await startRealApp(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.inject(request(0.01))));
  assert.ok(answers.every((answer) => answer.statusCode === 200));
  await delay(20);
  assert.equal((await app.inject(request(5000))).json<{ outcome: string }>().outcome, 'scored');
});
