/** Tests feedback from the decision of one replica to the metrics of another. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import type { Scored } from '../../src/api/score-schemas.js';
import type { Policy } from '../../src/decision/policy.js';
import { KeyRing } from '../../src/feedback/keys.js';
import { fakeEngine, operatorFiles, startApp, type TestApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const KEYS = new KeyRing([{ id: 'shared', secret: Buffer.alloc(32, 3) }]);
const BINARY = { 'content-type': 'application/octet-stream' };
/** The metric of the tiny probe has the range 0 to 2, and is good from 1. */
const LOW_SCORE = 0.5;

function replica(t: TestContext): Promise<TestApp> {
  const scores = Float32Array.from([LOW_SCORE, 1.5]);
  const score = async () => ({ scores, queueMs: 0, inferenceMs: 0, batchSamples: scores.length });
  return startApp(t, fakeEngine({ score }), { operatorFiles: operatorFiles({ keys: () => KEYS }) });
}

async function decided({ app }: TestApp, policy: Policy) {
  const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2), { sample_ids: '["a","b"]' }));
  const headers = { ...BINARY, 'x-policy': JSON.stringify(policy) };
  const response = await app.inject({ method: 'POST', url: '/score', headers, payload });
  return response.json<Scored>().results;
}

async function returned({ app }: TestApp, feedback: readonly object[]) {
  const response = await app.inject({ method: 'POST', url: '/feedback', payload: { feedback } });
  assert.equal(response.statusCode, 200);
  return response.json<{ accepted: number; refused: { index: number; reason: string }[] }>();
}

/** The value of a line of /metrics. */
async function metric({ app }: TestApp, line: string): Promise<number> {
  const { body } = await app.inject('/metrics');
  const found = body.split('\n').find((text) => text.startsWith(`diffusion_probe_${line} `));
  return Number(found?.split(' ').at(-1));
}

const labels = (policy: string, verdict: string, good: boolean): string =>
  `{model="tiny",version="1",step="5",policy="${policy}",alpha="",verdict="${verdict}",good="${good}"}`;

test('one replica counts the decisions of another, weighted by their probability', async (t) => {
  const [one, other] = [await replica(t), await replica(t)];
  // At rate 1, every sample that would be dropped is explored.
  const results = await decided(one, { name: 'threshold', value: 1, explore: { rate: 1 } });
  assert.deepEqual(
    results.map(({ would_drop, override, decision }) => [would_drop, override, decision]),
    [
      [true, 'explore', 'keep'],
      [false, null, 'keep'],
    ],
  );
  const feedback = results.map(({ receipt }, index) => ({ receipt, quality: [1.6, 0.4][index] }));
  assert.deepEqual(await returned(other, feedback), { accepted: 2, refused: [] });
  assert.equal(await metric(other, `feedback_weight_total${labels('threshold', 'drop', true)}`), 1);
  assert.equal(await metric(other, `feedback_quality_total${labels('threshold', 'drop', true)}`), 0.8);
  assert.equal(await metric(other, `feedback_score_total${labels('threshold', 'drop', true)}`), 0.25);
  assert.equal(await metric(other, `feedback_weight_total${labels('threshold', 'keep', false)}`), 1);
  assert.equal(
    await metric(other, 'feedback_samples_total{model="tiny",version="1",step="5",arm="explored"}'),
    1,
  );
});

test('bad receipts are refused with their index, and the others count', async (t) => {
  const app = await replica(t);
  const [dropped, kept] = await decided(app, { name: 'threshold', value: 1, explore: { rate: 0 } });
  const answer = await returned(app, [
    { receipt: dropped?.receipt, quality: 1 },
    { receipt: kept?.receipt, quality: 1 },
    { receipt: kept?.receipt, quality: 1 },
    { receipt: kept?.receipt.replace(/.$/, '-'), quality: 1 },
    { quality: 1 },
    null as unknown as object,
  ]);
  assert.deepEqual(answer, {
    accepted: 1,
    refused: [
      { index: 0, reason: 'dropped' },
      { index: 2, reason: 'repeated' },
      { index: 3, reason: 'tampered' },
      { index: 4, reason: 'malformed' },
      { index: 5, reason: 'malformed' },
    ],
  });
  assert.equal(await metric(app, 'feedback_refused_total{reason="dropped"}'), 1);
  assert.equal(await metric(app, 'feedback_refused_total{reason="malformed"}'), 2);
});

test('in shadow mode every sample comes back and counts once', async (t) => {
  const app = await replica(t);
  const results = await decided(app, { name: 'threshold', value: 1, mode: 'shadow' });
  assert.deepEqual(
    results.map(({ would_drop, override, decision }) => [would_drop, override, decision]),
    [
      [true, 'shadow', 'keep'],
      [false, null, 'keep'],
    ],
  );
  await returned(
    app,
    results.map(({ receipt }) => ({ receipt, quality: 1.2 })),
  );
  assert.equal(await metric(app, `feedback_weight_total${labels('threshold', 'drop', true)}`), 1);
  assert.equal(await metric(app, `feedback_weight_total${labels('threshold', 'keep', true)}`), 1);
});
