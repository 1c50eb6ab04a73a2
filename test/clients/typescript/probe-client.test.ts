/** The client at the real service, and what it sends. Failures are in cases.test.ts. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import {
  InvalidInputError,
  ProbeClient,
  type ProbeClientOptions,
  type ScoreCallOptions,
  type ScoreFailure,
  type ScoreInput,
} from '../../../clients/typescript/src/index.js';
import type { Engine } from '../../../src/engine/types.js';
import { fingerprintOf } from '../../../src/probe/fingerprint.js';
import { httpServer } from '../../support/http-servers.js';
import { fakeEngine, startApp, startRealApp, testManifest } from '../../support/app.js';
import { TINY_CONDITIONS, TINY_SIZE } from '../../support/probe-folder.js';
import { expectedScore, randomSamples, tensorsOf } from '../../support/samples.js';

const samples = randomSamples(TINY_SIZE, 3, 3, 31);
const { attention } = tensorsOf(samples);
const input = { attention, timestep: 778.7 };

function clientOf(t: TestContext, origin: string, options: ProbeClientOptions = {}) {
  const failures: ScoreFailure[] = [];
  const onProblem = (failure: ScoreFailure) => failures.push(failure);
  const client = new ProbeClient(origin, { deadlineMs: 30_000, onProblem, ...options });
  t.after(() => client.close());
  return { client, failures };
}

test('a group is scored by the real service, every option included', async (t) => {
  const { listen } = await startRealApp(t);
  const { client, failures } = clientOf(t, await listen());
  const outcome = await client.score(input, {
    deadlineMs: 5000,
    model: 'tiny@1',
    policy: { name: 'top_k', k: 2, explore: { rate: 0 } },
    group: 'a prompt',
    sampleIds: ['a', 'b', 'c'],
    step: 5,
    totalSteps: 25,
    captureId: testManifest().capture_id,
  });
  assert.equal(outcome.outcome, 'scored');
  assert.ok(outcome.outcome === 'scored');
  assert.deepEqual([outcome.model, outcome.version, outcome.provider], ['tiny', 1, 'cpu']);
  assert.equal(outcome.decisions.filter((decision) => decision === 'keep').length, 2);
  for (const [index, { id, score, pGood, wouldDrop, decision }] of outcome.results.entries()) {
    assert.equal(id, 'abc'[index]);
    assert.ok(Math.abs(score - expectedScore(samples[index] ?? assert.fail())) < 1e-5);
    assert.ok(pGood !== null && wouldDrop === (decision === 'drop'));
  }
  assert.deepEqual(failures, []);
});

test('the document of the conditions is sent only while the service does not know its hash', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const { client, failures } = clientOf(t, await listen());
  const conditions = { ...TINY_CONDITIONS, dtype: 'float16', unset: undefined };
  const ask = async (options: { conditions?: object; conditionsId?: string }) => {
    const outcome = await client.score(input, options as ScoreCallOptions);
    assert.ok(outcome.outcome === 'scored');
    return [outcome.conditions, ...outcome.foreignConditions];
  };
  assert.deepEqual(await ask({}), ['unstated']);
  assert.deepEqual(await ask({ conditions: TINY_CONDITIONS }), ['same']);
  assert.deepEqual(await ask({ conditions }), ['unknown']);
  assert.deepEqual(await ask({ conditions }), ['foreign', 'dtype']);
  assert.deepEqual(await ask({ conditions }), ['foreign', 'dtype']);
  const conditionsId = fingerprintOf(JSON.parse(JSON.stringify(conditions)));
  assert.deepEqual(await ask({ conditionsId }), ['foreign', 'dtype']);
  assert.deepEqual(await ask({ conditionsId: '0'.repeat(16) }), ['unknown']);
  assert.deepEqual(await ask({ conditionsId: '0'.repeat(16) }), ['unknown']);
  assert.deepEqual(failures, []);
});

test('feedback counts at the real service, each receipt once', async (t) => {
  const { listen } = await startRealApp(t);
  const { client, failures } = clientOf(t, await listen());
  const { results } = await client.score(input, { policy: { name: 'score_only' } });
  const items = results.map(({ receipt = assert.fail() }) => ({ receipt, quality: 0.5 }));
  assert.deepEqual(await client.feedback(items), { accepted: 3, refused: [] });
  assert.deepEqual(await client.feedback(items.slice(1, 2)), {
    accepted: 0,
    refused: [{ index: 0, reason: 'repeated' }],
  });
  assert.deepEqual(failures, []);
});

test('a mask, single timesteps and further signals are sent as given', async (t) => {
  const fake = fakeEngine();
  let names: string[] = [];
  const score: Engine['score'] = (probe, body, options) => {
    names = [...body.tensors.keys()].toSorted();
    return fake.score(probe, body, options);
  };
  const probe = fake.resolve(undefined);
  const inputs = [
    ...probe.manifest.inputs,
    { name: 'hint', dtype: 'F32' as const, shape: ['batch' as const] },
  ];
  const resolve = () => ({ ...probe, manifest: { ...probe.manifest, inputs } });
  const { listen } = await startApp(t, fakeEngine({ score, resolve }));
  const { client } = clientOf(t, await listen());
  const outcome = await client.score({
    attention,
    tokenMask: new Uint8Array(9).fill(1),
    timestep: new Float32Array(3).fill(778.7),
    signals: { hint: { dtype: 'F32', shape: [3], data: new Float32Array(3) } },
  });
  assert.equal(outcome.outcome, 'scored');
  assert.deepEqual(names, ['attention', 'hint', 'timestep', 'token_mask']);
});

test('each request says how much of the deadline is left, with the headers of the client', async (t) => {
  const seen: { left: number; traceparent: unknown; authorization: unknown }[] = [];
  const origin = await httpServer(t, (request, response) => {
    const { 'x-deadline-ms': left, traceparent, authorization } = request.headers;
    seen.push({ left: Number(left), traceparent, authorization });
    request.resume().on('end', () => response.writeHead(503, { 'retry-after': '1' }).end());
  });
  const { client } = clientOf(t, origin, { headers: { traceparent: 'a' }, apiKey: 'key', retries: 1 });
  await client.score(input, { deadlineMs: 10_000 });
  const [first = assert.fail(), second = assert.fail()] = seen;
  assert.ok(first.left > 5000 && first.left <= 9500, `${first.left}`);
  assert.ok(second.left <= first.left - 900 && second.left > 0, `${second.left}`);
  assert.deepEqual([first.traceparent, first.authorization], ['a', 'Bearer key']);
});

test('a call that its caller cancels rejects with the reason, and says nothing about the service', async (t) => {
  const origin = await httpServer(t, () => {});
  const { client, failures } = clientOf(t, origin, { breakerFailures: 1 });
  const reason = new Error('the user has left');
  for (const signal of [AbortSignal.abort(reason), abortSoon(reason)])
    await assert.rejects(client.score(input, { signal }), reason);
  const outcome = await client.score(input, { deadlineMs: 50 });
  assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'timeout');
  assert.deepEqual(
    failures.map((failure) => failure.reason),
    ['timeout'],
  );
});

function abortSoon(reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 30);
  return controller.signal;
}

const f32 = (shape: number[], length: number) => ({ dtype: 'F32', shape, data: new Float32Array(length) });

for (const [field, wrong, options] of [
  ['input', undefined, {}],
  ['attention', { attention: undefined }, {}],
  ['attention', { attention: { ...attention, dtype: 'U8' } }, {}],
  ['attention', { attention: { ...attention, dtype: 'F8' } }, {}],
  ['attention', { attention: { ...attention, data: new Uint8Array(1) } }, {}],
  ['attention', { attention: f32([0, 1, 1, 1, 1], 0) }, {}],
  ['attention', { attention: f32([1, 1], 1) }, {}],
  ['tokenMask', { tokenMask: new Uint8Array(1) }, {}],
  ['timestep', { timestep: NaN }, {}],
  ['timestep', { timestep: 1e39 }, {}],
  ['timestep', { timestep: new Float32Array(2) }, {}],
  ['timestep', { timestep: undefined }, {}],
  ['signals', { signals: { timestep: f32([3], 3) } }, {}],
  ['hint', { signals: { hint: f32([2], 2) } }, {}],
  ['hint', { signals: { hint: 1 } }, {}],
  ['model', {}, { model: 1 }],
  ['policy', {}, { policy: 'top_k' }],
  ['sampleIds', {}, { sampleIds: 'abc' }],
  ['sampleIds', {}, { sampleIds: ['a', 'b'] }],
  ['step', {}, { step: 0 }],
  ['totalSteps', {}, { totalSteps: 1.5 }],
  ['deadlineMs', {}, { deadlineMs: -1 }],
  ['deadlineMs', {}, { deadlineMs: Infinity }],
  ['conditions', {}, { conditions: { scale: NaN } }],
  ['conditions', {}, { conditions: [1] }],
  ['conditions', {}, { conditions: { big: 1n } }],
] as const) {
  test(`an argument that is wrong: ${field} of ${wrong && Object.keys(wrong).join()} ${Object.keys(options).join()}`, async (t) => {
    const raising = clientOf(t, 'http://127.0.0.1:1');
    const given = wrong && ({ ...input, ...wrong } as ScoreInput);
    const score = (client: ProbeClient) => client.score(given as ScoreInput, options as ScoreCallOptions);
    await assert.rejects(score(raising.client), (error) => {
      assert.ok(error instanceof InvalidInputError);
      assert.equal(error.field, field);
      assert.ok(error.message.includes(error.received) && error.message.includes(error.expected));
      return true;
    });
    const { client, failures } = clientOf(t, 'http://127.0.0.1:1', { onMistake: 'keep' });
    const outcome = await score(client);
    assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'invalid_input');
    assert.ok(outcome.decisions.every((decision) => decision === 'keep'));
    assert.ok(failures[0]?.error instanceof InvalidInputError);
  });
}

for (const items of [
  [],
  [{ receipt: 'x' }],
  [{ receipt: 1, quality: 1 }],
  [{ receipt: 'x', quality: NaN }],
  [null],
  'x',
])
  test(`feedback that is wrong: ${JSON.stringify(items)}`, async (t) => {
    const { client } = clientOf(t, 'http://127.0.0.1:1');
    await assert.rejects(client.feedback(items as never), InvalidInputError);
  });

test('an exception of onProblem is ignored, and a closed client keeps everything', async (t) => {
  const onProblem = () => {
    throw new Error('the callback is broken');
  };
  const { client } = clientOf(t, 'http://127.0.0.1:1', { onProblem });
  const outcome = await client.score(input);
  assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'network');
  await client.close();
  await client.close();
  const closed = await client.score(input);
  assert.ok(closed.outcome === 'failed_open' && closed.reason === 'closed');
  assert.deepEqual(closed.decisions, ['keep', 'keep', 'keep']);
});

test('without Web Crypto a fingerprint must be given', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const { client } = clientOf(t, await listen());
  t.mock.getter(globalThis, 'crypto', () => undefined);
  await assert.rejects(client.score(input, { conditions: { dtype: 'a' } }), /conditionsId/);
  const outcome = await client.score(input, { conditions: { dtype: 'a' }, conditionsId: '0'.repeat(16) });
  assert.equal(outcome.outcome, 'scored');
});
