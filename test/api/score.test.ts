/** Tests the answers of POST /score with real bytes and a real engine. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import type { AppOptions } from '../../src/server/app.js';
import type { Scored } from '../../src/api/score-schemas.js';
import type { PolicyRule } from '../../src/config/policies.js';
import { operatorFiles, startRealApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { expectedScore, randomSamples, scoreBody, tensorsOf } from '../support/samples.js';

const BINARY = { 'content-type': 'application/octet-stream' };
const samples = randomSamples(TINY_SIZE, 3, 4, 21);
const best = samples
  .map((sample, index) => ({ index, score: expectedScore(sample) }))
  .toSorted((left, right) => right.score - left.score)
  .map(({ index }) => index);

async function score(
  t: TestContext,
  payload: Uint8Array | object,
  headers: Record<string, string> = BINARY,
  options: Partial<AppOptions> = {},
) {
  const { app } = await startRealApp(t, options);
  const body = payload instanceof Uint8Array ? Buffer.from(payload) : payload;
  const response = await app.inject({ method: 'POST', url: '/score', headers, payload: body });
  return { response, answer: response.json<Scored>() };
}

test('a binary request is scored and decided', async (t) => {
  const metadata = {
    policy: '{"name":"top_k","k":1,"explore":{"rate":0}}',
    sample_ids: '["a","b","c","d"]',
    step: '5',
    total_steps: '25',
    group: 'g',
  };
  const { response, answer } = await score(t, scoreBody(samples, metadata));
  assert.equal(response.statusCode, 200);
  const { results, ...rest } = answer;
  assert.deepEqual(rest, {
    outcome: 'scored',
    model: 'tiny',
    version: 1,
    provider: 'cpu',
    policy: { name: 'top_k', k: 1, explore: { rate: 0 } },
    conditions: 'unstated',
    foreign_conditions: [],
  });
  for (const [index, result] of results.entries()) {
    const expected = expectedScore(samples[index] ?? assert.fail());
    const isBest = index === best[0];
    assert.ok(Math.abs(result.score - expected) < 1e-5);
    assert.ok(result.percentile !== null && result.p_good !== null);
    const { score: _score, percentile: _percentile, p_good: _pGood, receipt, ...decided } = result;
    assert.match(receipt, /^[\w-]+\.[\w-]+\.[\w-]{22}$/);
    assert.deepEqual(decided, {
      index,
      id: 'abcd'[index],
      rank: best.indexOf(index) + 1,
      threshold: null,
      would_drop: !isBest,
      override: null,
      decision: isBest ? 'keep' : 'drop',
      reason: isBest ? 'top_k' : 'not_top_k',
    });
  }
});

test('the JSON form gives the same answer as the binary form', async (t) => {
  const { attention, token_mask: mask, timestep } = tensorsOf(samples, 'F32');
  const base64 = Buffer.from(attention.data.buffer as ArrayBuffer).toString('base64');
  const tensors = {
    attention: { dtype: attention.dtype, shape: attention.shape, data: base64 },
    token_mask: samples.map((sample) => [...sample.mask]),
    timestep: samples.map((sample) => sample.timestep),
  };
  assert.ok(mask && timestep);
  const json = await score(t, { tensors }, { 'content-type': 'application/json' });
  const binary = await score(t, scoreBody(samples));
  const withoutReceipts = ({ results, ...rest }: Scored) => ({
    ...rest,
    results: results.map(({ receipt: _receipt, ...result }) => result),
  });
  assert.deepEqual(withoutReceipts(json.answer), withoutReceipts(binary.answer));
});

test('the policy of the probe wins over the default policy of the service', async (t) => {
  const plain = await score(t, scoreBody(samples));
  assert.equal(plain.answer.policy.name, 'max_false_drop');
  assert.ok(plain.answer.results.every((result) => typeof result.threshold === 'number'));
  const rule = { policy: { name: 'score_only' }, allow_override: true } as const;
  const files = operatorFiles({ policies: () => ({ models: { tiny: rule } }) });
  const own = await score(t, scoreBody(samples), BINARY, { operatorFiles: files });
  assert.deepEqual(own.answer.policy, { name: 'score_only' });
  assert.ok(
    own.answer.results.every((result) => result.decision === 'keep' && result.reason === 'score_only'),
  );
});

test('an edit of the policies applies from the next request', async (t) => {
  let rule: PolicyRule = { policy: { name: 'score_only' }, allow_override: true };
  const files = operatorFiles({ policies: () => ({ default: rule, models: {} }) });
  const { app } = await startRealApp(t, { operatorFiles: files });
  const ask = () =>
    app.inject({ method: 'POST', url: '/score', headers: BINARY, payload: Buffer.from(scoreBody(samples)) });
  assert.equal((await ask()).json<Scored>().policy.name, 'score_only');
  rule = { policy: { name: 'top_k', k: 1 }, allow_override: true };
  assert.equal((await ask()).json<Scored>().policy.name, 'top_k');
});

test('a policy in the header replaces the one in the body', async (t) => {
  const body = scoreBody(samples, { policy: '{"name":"top_k","k":1}' });
  const { answer } = await score(t, body, { ...BINARY, 'x-policy': '{"name":"score_only"}' });
  assert.deepEqual(answer.policy, { name: 'score_only' });
  assert.ok(answer.results.every(({ reason }) => reason === 'score_only'));
});

test('Server-Timing lists the duration of every stage', async (t) => {
  const { response } = await score(t, scoreBody(samples));
  const stages = String(response.headers['server-timing']).matchAll(/(\w+);dur=(\d+\.\d+)/g);
  assert.deepEqual(
    [...stages].map(([, stage]) => stage),
    ['receive', 'decode', 'queue', 'inference', 'dispatch', 'decision', 'total'],
  );
});

test('the safetensors media type and JSON with a charset are accepted', async (t) => {
  const { app } = await startRealApp(t);
  const binary = { method: 'POST', url: '/score', payload: Buffer.from(scoreBody(samples)) } as const;
  const named = await app.inject({ ...binary, headers: { 'content-type': 'application/vnd.safetensors' } });
  assert.equal(named.statusCode, 200);
  const json = await app.inject({
    ...binary,
    payload: '{}',
    headers: { 'content-type': 'Application/JSON; charset=utf-8' },
  });
  assert.equal(json.json<{ field: string }>().field, 'tensors');
});

test('bad values that a worker finds are refused with their error code', async (t) => {
  const broken = (value: number) => {
    const [sample] = randomSamples(TINY_SIZE, 3, 1);
    assert.ok(sample);
    sample.attention[0] = value;
    return scoreBody([sample], {}, 'F32');
  };
  for (const [value, code] of [
    [NaN, 'attention_not_finite'],
    [-0.5, 'attention_out_of_range'],
  ] as const) {
    const { response } = await score(t, broken(value));
    assert.equal(response.statusCode, 422);
    assert.equal(response.json<{ code: string }>().code, code);
  }
});
