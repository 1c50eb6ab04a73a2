/** Tests how long a request is worth answering. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';

import { RequestDeadline } from '../../src/api/request-deadline.js';
import { PredictionMargin } from '../../src/engine/prediction-margin.js';

const FAR_MS = 60_000;

function watch(t: TestContext, deadlineMs: number | undefined, lateness: PredictionMargin) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const startedAt = performance.now();
  const life = new RequestDeadline(response, deadlineMs, startedAt, lateness);
  t.after(() => life.end());
  return { life, leftMs: (life.deadline ?? Infinity) - startedAt };
}

/** Timers that came late by so much, again and again. */
function lateBy(ms: number): PredictionMargin {
  const lateness = new PredictionMargin();
  for (let timer = 0; timer < 100; timer += 1) lateness.learn(ms);
  return lateness;
}

test('an answer must go out by the deadline, and no earlier while timers are in time', (t) => {
  assert.equal(Math.round(watch(t, FAR_MS, new PredictionMargin()).leftMs), FAR_MS);
  assert.equal(watch(t, undefined, lateBy(5)).life.deadline, undefined);
});

test('an answer goes out as much earlier as timers were late recently', (t) => {
  const { leftMs } = watch(t, FAR_MS, lateBy(5));
  assert.equal(Math.round(FAR_MS - leftMs), 5);
});

test('however late timers were, nine tenths of the time remain', (t) => {
  const { leftMs } = watch(t, FAR_MS, lateBy(FAR_MS));
  assert.equal(Math.round(leftMs), FAR_MS * 0.9);
  assert.equal(watch(t, -1, lateBy(5)).life.signal.aborted, true);
});

test('a busy event loop teaches how late timers are', async (t) => {
  const lateness = new PredictionMargin();
  const { life } = watch(t, 10, lateness);
  const aborted = once(life.signal, 'abort');
  const freeAt = performance.now() + 40;
  while (performance.now() < freeAt) {
    // Nothing else runs meanwhile.
  }
  await aborted;
  assert.ok(lateness.marginMs > 20);
});
