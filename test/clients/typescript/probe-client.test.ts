/** The client scores a group in one call, and no failure costs an image. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';

import {
  ProbeClient,
  type ProbeClientOptions,
  type ScoreCallOptions,
  type ScoreFailure,
} from '../../../clients/typescript/src/index.js';
import type { Engine } from '../../../src/engine/types.js';
import { problem } from '../../../src/errors.js';
import { fingerprintOf } from '../../../src/probe/fingerprint.js';
import { fakeEngine, startApp, startRealApp, testManifest } from '../../support/app.js';
import { TINY_CONDITIONS, TINY_SIZE } from '../../support/probe-folder.js';
import { expectedScore, randomSamples, tensorsOf } from '../../support/samples.js';

const samples = randomSamples(TINY_SIZE, 3, 3, 31);
const { attention } = tensorsOf(samples);
const input = { attention, timestep: 778.7 };
const KEEP_ALL = ['keep', 'keep', 'keep'];

function clientOf(t: TestContext, origin: string, options: ProbeClientOptions = {}) {
  const failures: ScoreFailure[] = [];
  const client = new ProbeClient(origin, { onProblem: (failure) => failures.push(failure), ...options });
  t.after(() => client.close());
  return { client, failures };
}

/** A server that is not a Diffusion Probe service. */
async function foreignServer(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
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

test('feedback that fails is reported to onProblem and does not reject', async (t) => {
  const { client, failures } = clientOf(t, 'http://127.0.0.1:1');
  assert.equal(await client.feedback([{ receipt: 'x', quality: 1 }]), undefined);
  assert.equal(failures[0]?.reason, 'network');
  const silent = clientOf(t, await foreignServer(t, () => {}));
  assert.equal(await silent.client.feedback([], { deadlineMs: 30 }), undefined);
  assert.equal(silent.failures[0]?.reason, 'timeout');
  const odd = clientOf(
    t,
    await foreignServer(t, (request, response) => void request.resume().on('end', () => response.end('{}'))),
  );
  assert.equal(await odd.client.feedback([]), undefined);
  assert.equal(odd.failures[0]?.reason, 'malformed_answer');
  const real = await startRealApp(t);
  const refusing = clientOf(t, await real.listen());
  assert.equal(await refusing.client.feedback([]), undefined);
  assert.equal(refusing.failures[0]?.problem?.code, 'invalid_feedback');
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

for (const reason of ['overloaded', 'tenant_limit'] as const) {
  test(`the service’s own failed_open with the reason ${reason} is passed on`, async (t) => {
    const { listen } = await startApp(
      t,
      fakeEngine({ score: () => Promise.reject(problem(reason, 'full')) }),
    );
    const { client, failures } = clientOf(t, await listen());
    const outcome = await client.score(input);
    assert.deepEqual(outcome, { outcome: 'failed_open', reason, results: [], decisions: KEEP_ALL });
    assert.deepEqual(failures, [{ reason }]);
  });
}

test('a refused request keeps everything and reports the problem', async (t) => {
  const { listen } = await startApp(t, fakeEngine());
  const { client, failures } = clientOf(t, await listen());
  const outcome = await client.score(input, { captureId: 'foreign' });
  assert.ok(outcome.outcome === 'failed_open');
  assert.deepEqual(
    [outcome.reason, outcome.problem?.code, outcome.decisions],
    ['refused', 'foreign_capture', KEEP_ALL],
  );
  assert.equal(failures[0]?.problem?.['field'], 'capture_id');
});

test('a service that does not run', async (t) => {
  const { client, failures } = clientOf(t, 'http://127.0.0.1:1');
  const outcome = await client.score(input);
  assert.ok(outcome.outcome === 'failed_open');
  assert.deepEqual([outcome.reason, outcome.decisions], ['network', KEEP_ALL]);
  assert.ok(failures[0]?.error instanceof Error);
});

test('a service that does not answer in time', async (t) => {
  const { client } = clientOf(t, await foreignServer(t, () => {}));
  const started = performance.now();
  const outcome = await client.score(input, { deadlineMs: 50 });
  assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'timeout');
  assert.ok(performance.now() - started < 1000);
});

test('a service that disconnects during its answer', async (t) => {
  const origin = await foreignServer(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{');
    setTimeout(() => response.destroy(), 10);
  });
  const outcome = await clientOf(t, origin).client.score(input);
  assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'network');
});

const MALFORMED = [
  '',
  'no json',
  '{}',
  '[]',
  'null',
  '{"outcome":"scored"}',
  '{"outcome":"scored","results":[]}',
  '{"outcome":"maybe"}',
];

for (const text of MALFORMED) {
  test(`a malformed answer: ${text || 'nothing'}`, async (t) => {
    const { client } = clientOf(
      t,
      await foreignServer(
        t,
        (request, response) => void request.resume().on('end', () => response.end(text)),
      ),
    );
    const outcome = await client.score(input);
    assert.ok(outcome.outcome === 'failed_open');
    assert.deepEqual([outcome.reason, outcome.decisions], ['malformed_answer', KEEP_ALL]);
  });
}

test('an answer for another number of samples is malformed', async (t) => {
  const results = [
    {
      index: 0,
      id: null,
      score: 1,
      percentile: 1,
      p_good: 1,
      rank: 1,
      threshold: 2,
      would_drop: true,
      override: null,
      decision: 'drop',
      reason: 'below_threshold',
    },
  ];
  const answer = {
    outcome: 'scored',
    model: 'tiny',
    version: 1,
    provider: 'cpu',
    policy: { name: 'score_only' },
    results,
  };
  const origin = await foreignServer(
    t,
    (request, response) => void request.resume().on('end', () => response.end(JSON.stringify(answer))),
  );
  const outcome = await clientOf(t, origin).client.score(input);
  assert.ok(outcome.outcome === 'failed_open' && outcome.reason === 'malformed_answer');
});

test('an error page of a proxy', async (t) => {
  const origin = await foreignServer(
    t,
    (request, response) => void request.resume().on('end', () => response.writeHead(502).end('<html>')),
  );
  const outcome = await clientOf(t, origin).client.score(input);
  assert.ok(outcome.outcome === 'failed_open');
  assert.deepEqual(
    [outcome.reason, outcome.error?.message],
    ['refused', 'the service answered with status 502'],
  );
});

test('members that a newer service adds are ignored', async (t) => {
  const answer = {
    outcome: 'scored',
    model: 'tiny',
    version: 1,
    provider: 'tpu',
    policy: { name: 'new' },
    news: 1,
    results: [0, 1, 2].map((index) => ({
      index,
      id: null,
      score: 1,
      percentile: null,
      p_good: null,
      rank: 1,
      threshold: null,
      would_drop: true,
      override: 'new',
      decision: 'drop',
      reason: 'new',
      receipt: 'x',
    })),
  };
  const origin = await foreignServer(
    t,
    (request, response) => void request.resume().on('end', () => response.end(JSON.stringify(answer))),
  );
  const outcome = await clientOf(t, origin).client.score(input);
  assert.deepEqual([outcome.outcome, outcome.decisions], ['scored', ['drop', 'drop', 'drop']]);
  assert.ok(outcome.outcome === 'scored' && outcome.conditions === 'unstated');
});

test('invalid input, and a callback that throws', async (t) => {
  const onProblem = () => {
    throw new Error('the callback is broken');
  };
  const { client } = clientOf(t, 'http://127.0.0.1:1', { onProblem });
  const outcome = await client.score({ attention, timestep: 778.7, tokenMask: new Uint8Array(1) });
  assert.ok(outcome.outcome === 'failed_open');
  assert.deepEqual([outcome.reason, outcome.decisions], ['invalid_input', KEEP_ALL]);
  assert.match(outcome.error?.message ?? '', /token_mask/);
});
