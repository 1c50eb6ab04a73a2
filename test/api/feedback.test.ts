/** Tests feedback from the decision of one replica to the metrics of another. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';

import type { Scored } from '../../src/api/score-schemas.js';
import type { Policy } from '../../src/decision/policy.js';
import { KeyRing } from '../../src/feedback/keys.js';
import type { AppOptions } from '../../src/server/app.js';
import { fakeEngine, operatorFiles, startApp, type TestApp } from '../support/app.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const KEYS = new KeyRing([{ id: 'shared', secret: Buffer.alloc(32, 3) }]);
const BINARY = { 'content-type': 'application/octet-stream' };
/** The metric of the tiny probe has the range 0 to 2, and is good from 1. */
const LOW_SCORE = 0.5;

function replica(t: TestContext, options: Pick<AppOptions, 'feedbackFile'> = {}): Promise<TestApp> {
  const scores = Float32Array.from([LOW_SCORE, 1.5]);
  const score = async () => ({ scores, queueMs: 0, inferenceMs: 0, batchSamples: scores.length });
  return startApp(t, fakeEngine({ score }), {
    operatorFiles: operatorFiles({ keys: () => KEYS }),
    ...options,
  });
}

async function decided({ app }: TestApp, policy: Policy, group?: string) {
  const metadata = { sample_ids: '["a","b"]', ...(group === undefined ? {} : { group }) };
  const payload = Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 2), metadata));
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

test('accepted feedback is appended to the file, with the weight and the pseudonyms of sample and group', async (t) => {
  const file = path.join(await temporaryFolder(t), 'feedback.jsonl');
  const running = await replica(t, { feedbackFile: file });
  const results = await decided(
    running,
    { name: 'threshold', value: 1, explore: { rate: 0.5 }, mode: 'shadow' },
    'a group',
  );
  const feedback = results.map(({ receipt }, index) => ({ receipt, quality: [1.6, 0.4][index] }));
  const bad = { receipt: 'nothing', quality: 1 };
  assert.equal((await returned(running, [...feedback, bad])).accepted, 2);
  // The answer does not wait for the file.
  while ((await readFile(file, 'utf8')).split('\n').length < 3) await setTimeout(5);
  await rename(file, `${file}.1`);
  const [again] = await decided(running, { name: 'threshold', value: 1, mode: 'shadow' });
  assert.equal((await returned(running, [{ receipt: again?.receipt, quality: 2 }])).accepted, 1);
  await running.app.close();
  const lines = (await readFile(`${file}.1`, 'utf8')).split('\n').filter(Boolean);
  const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines.length, 2);
  assert.ok(first && second);
  assert.match(String(first['decided_at']), /^20.*Z$/);
  assert.match(String(first['sample']), /^[\w-]{12}$/);
  assert.notEqual(first['sample'], second['sample']);
  assert.match(String(first['group']), /^[\w-]{12}$/);
  assert.equal(first['group'], second['group']);
  assert.doesNotMatch(lines.join(''), /a group/);
  const { model, version, step, score, quality, weight, good_at, policy, would_drop, override } = first;
  assert.deepEqual(
    { model, version, step, score, quality, weight, good_at, policy, would_drop, override },
    {
      model: 'tiny',
      version: 1,
      step: 5,
      score: LOW_SCORE,
      quality: 1.6,
      weight: 1,
      good_at: 1,
      policy: 'threshold',
      would_drop: true,
      override: 'shadow',
    },
  );
  const last = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  assert.deepEqual([last['quality'], last['group']], [2, null]);
});

test('a file that cannot be written ends the start, and later costs no feedback', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(replica(t, { feedbackFile: path.join(folder, 'missing', 'feedback.jsonl') }), {
    name: 'Error',
    message: /^FEEDBACK_FILE cannot be written: ENOENT/,
  });
  const inside = path.join(folder, 'inside');
  await mkdir(inside);
  const running = await replica(t, { feedbackFile: path.join(inside, 'feedback.jsonl') });
  await rm(inside, { recursive: true });
  const results = await decided(running, { name: 'score_only' });
  const feedback = results.map(({ receipt }) => ({ receipt, quality: 1 }));
  assert.deepEqual(await returned(running, feedback), { accepted: 2, refused: [] });
});
