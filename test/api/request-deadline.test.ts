/** Tests when the deadline of a request ends it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';

import { RequestDeadline } from '../../src/api/request-deadline.js';
import { PredictionMargin } from '../../src/prediction-margin.js';

const FAR_MS = 60_000;

function watch(t: TestContext, deadlineMs: number | undefined, timerLateness: PredictionMargin) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const startedAt = performance.now();
  const deadline = new RequestDeadline(response, deadlineMs, startedAt, timerLateness);
  t.after(() => deadline.stop());
  return { deadline, leftMs: (deadline.answerBy ?? Infinity) - startedAt };
}

/** The margin after many timers that were late by so much. */
function lateBy(ms: number): PredictionMargin {
  const lateness = new PredictionMargin();
  for (let timer = 0; timer < 100; timer += 1) lateness.learn(ms);
  return lateness;
}

test('while timers are punctual, the answer is due at the caller’s deadline', (t) => {
  assert.equal(Math.round(watch(t, FAR_MS, new PredictionMargin()).leftMs), FAR_MS);
  assert.equal(watch(t, undefined, lateBy(5)).deadline.answerBy, undefined);
});

test('the answer is due earlier by as much as timers were late recently', (t) => {
  const { leftMs } = watch(t, FAR_MS, lateBy(5));
  assert.equal(Math.round(FAR_MS - leftMs), 5);
});

test('at least nine tenths of the time remain, however late timers were', (t) => {
  const { leftMs } = watch(t, FAR_MS, lateBy(FAR_MS));
  assert.equal(Math.round(leftMs), FAR_MS * 0.9);
  assert.equal(watch(t, -1, lateBy(5)).deadline.signal.aborted, true);
});

test('a timer that a busy event loop delays increases the margin', async (t) => {
  const lateness = new PredictionMargin();
  const { deadline } = watch(t, 10, lateness);
  const aborted = once(deadline.signal, 'abort');
  const freeAt = performance.now() + 40;
  while (performance.now() < freeAt) {
    // Blocks the event loop.
  }
  await aborted;
  assert.ok(lateness.margin > 20);
});
