/** Owns the proof that a deadline is judged by the work that is ahead, and never keeps an idle thread idle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RequestQueue } from '../../../src/engine/batching/queue.js';
import { LatencyPredictor } from '../../../src/engine/batching/latency-predictor.js';
import { MS_PER_RUN, MS_PER_TOKEN, probeWith, requestOf } from '../../support/made-up-probe.js';

const NO_LIMITS = { maxQueueSamples: Infinity, maxQueueBytes: Infinity };

test('a request needs its own run, what waits before it and what runs, shared among the threads', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const predictor = new LatencyPredictor(requestQueue);
  const probe = probeWith(1, 4);
  const request = requestOf(2, probe, 3);
  const own = MS_PER_RUN + 6 * MS_PER_TOKEN;
  assert.equal(predictor.latencyMs(request, 1), own);
  requestQueue.add(requestOf(4, probe, 5));
  const ahead = MS_PER_RUN + 20 * MS_PER_TOKEN;
  const alone = predictor.latencyMs(request, 1);
  assert.ok(alone >= own + ahead && alone < own + 1.2 * ahead, String(alone));
  const shared = predictor.latencyMs(request, 4);
  assert.ok(shared >= own + ahead / 4 && shared < own + (1.2 * ahead) / 4, String(shared));

  const batch = requestQueue.take() ?? assert.fail();
  const end = predictor.trackRun(batch);
  const during = predictor.latencyMs(request, 1);
  assert.ok(during > own && during <= alone, String(during));
  end();
  assert.equal(predictor.latencyMs(request, 1), own);
});

test('of a request that is cut, the largest piece counts as its own run', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS));
  assert.equal(predictor.latencyMs(requestOf(100, probeWith(1, 4), 2), 1), MS_PER_RUN + 8 * MS_PER_TOKEN);
});

test('what cannot make it is predicted late, except the last request', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const predictor = new LatencyPredictor(requestQueue);
  assert.deepEqual(predictor.predictedLate(), []);
  const probe = probeWith(1, 8);
  const soon = performance.now() + 1;
  const [first, second, third] = [soon, soon, soon].map((deadline) => requestOf(1, probe, 1, deadline));
  const patient = requestOf(1, probe);
  assert.ok(first && second && third);
  requestQueue.add(first);
  assert.deepEqual(predictor.predictedLate(), [], 'an idle thread has nothing better to do');
  requestQueue.add(second);
  assert.deepEqual(predictor.predictedLate(), [first]);
  requestQueue.add(patient);
  requestQueue.add(third);
  assert.deepEqual(predictor.predictedLate(), [first, second, third]);
});

test('what came later than predicted lately makes it more careful, and what comes in time less', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS));
  const probe = probeWith(1, 4);
  assert.equal(predictor.predictedLatencyMs(1, 0), 0);
  const late = requestOf(1, probe, 1);
  predictor.recordAdmitted(late, 1);
  const end = performance.now() + 30;
  while (performance.now() < end);
  predictor.recordScored(late);
  const careful = predictor.predictedLatencyMs(1, 0);
  assert.ok(careful > 10, String(careful));
  for (let count = 0; count < 50; count += 1) {
    const prompt = requestOf(1, probe, 1);
    predictor.recordAdmitted(prompt, 1);
    predictor.recordScored(prompt);
  }
  const usual = MS_PER_RUN + MS_PER_TOKEN;
  assert.ok(
    predictor.predictedLatencyMs(1, 0) < careful / 4 + usual,
    String(predictor.predictedLatencyMs(1, 0)),
  );
});

test('requests that are still being received count as usual ones, shared among the threads', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS));
  const request = requestOf(2, probeWith(1, 4), 3);
  const own = MS_PER_RUN + 6 * MS_PER_TOKEN;
  for (let count = 0; count < 100; count += 1) predictor.recordAdmitted(request, 1);
  assert.ok(Math.abs(predictor.predictedLatencyMs(1, 0) - own) < 0.01 * own);
  assert.ok(Math.abs(predictor.predictedLatencyMs(2, 9) - 5 * own) < 0.01 * own * 5);
});
