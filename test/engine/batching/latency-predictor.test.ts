/** Tests that latencies are predicted from the work that is ahead, and that an idle worker always gets a request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RequestQueue } from '../../../src/engine/batching/queue.js';
import { LatencyPredictor } from '../../../src/engine/batching/latency-predictor.js';
import type { Batch, ScoreRequest } from '../../../src/engine/batching/score-request.js';
import { MS_PER_RUN, MS_PER_TOKEN, probeWith, requestOf } from '../../support/made-up-probe.js';

const NO_LIMITS = { maxQueueSamples: Infinity, maxQueueBytes: Infinity };

/** The predicted latency of a request of the unnamed tenant, which is sending so many others. */
function expected(predictor: LatencyPredictor, workers: number, requests = 0): number {
  const receiving = [{ tenant: '', requests }];
  return predictor.predictedLatencyMs(workers, { tenant: '', receiving, probe: undefined });
}

function admit(predictor: LatencyPredictor, request: ScoreRequest): void {
  predictor.recordAdmitted(request, predictor.latencyMs(request, 1));
}

test('the latency of a request is its own run plus what waits and runs, divided by the workers', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const running = new Map<Batch, unknown>();
  const predictor = new LatencyPredictor(requestQueue, running);
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
  running.set(batch, undefined);
  const during = predictor.latencyMs(request, 1);
  assert.ok(during > own && during <= alone, String(during));
  running.clear();
  assert.equal(predictor.latencyMs(request, 1), own);
});

test('the cost of a request that is cut is that of its largest part', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS), new Map());
  assert.equal(predictor.latencyMs(requestOf(100, probeWith(1, 4), 2), 1), MS_PER_RUN + 8 * MS_PER_TOKEN);
});

test('requests that would miss their deadlines are predicted late, but at least one is kept', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const predictor = new LatencyPredictor(requestQueue, new Map());
  assert.deepEqual(predictor.predictedLate(), []);
  const probe = probeWith(1, 8);
  const soon = performance.now() + 1;
  const [first, second, third] = [soon, soon, soon].map((deadline) => requestOf(1, probe, 1, { deadline }));
  const patient = requestOf(1, probe);
  assert.ok(first && second && third);
  requestQueue.add(first);
  assert.deepEqual(predictor.predictedLate(), [], 'an idle worker runs it all the same');
  requestQueue.add(second);
  assert.deepEqual(predictor.predictedLate(), [first]);
  requestQueue.add(patient);
  requestQueue.add(third);
  assert.deepEqual(predictor.predictedLate(), [first, second, third]);
});

test('late scores widen the margin, and scores in time narrow it', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS), new Map());
  const probe = probeWith(1, 4);
  assert.equal(expected(predictor, 1), 0);
  // The mean cost becomes that of these requests.
  for (let count = 0; count < 100; count += 1) admit(predictor, requestOf(1, probe, 1));
  const late = requestOf(1, probe, 1);
  admit(predictor, late);
  const end = performance.now() + 30;
  while (performance.now() < end);
  predictor.recordEnded(late);
  // The tenant is sending one more.
  const meanCost = MS_PER_RUN + MS_PER_TOKEN;
  const afterLate = expected(predictor, 1, 1);
  assert.ok(afterLate > 2 * meanCost + 10, String(afterLate));
  for (let count = 0; count < 50; count += 1) {
    const prompt = requestOf(1, probe, 1);
    admit(predictor, prompt);
    predictor.recordEnded(prompt);
  }
  const afterPrompt = expected(predictor, 1, 1);
  assert.ok(afterPrompt < (afterLate - 2 * meanCost) / 4 + 2 * meanCost, String(afterPrompt));
});

test('requests that are still being received count at the mean cost, divided by the workers', () => {
  const predictor = new LatencyPredictor(new RequestQueue(NO_LIMITS), new Map());
  const request = requestOf(2, probeWith(1, 4), 3);
  const own = MS_PER_RUN + 6 * MS_PER_TOKEN;
  for (let count = 0; count < 100; count += 1) admit(predictor, request);
  assert.ok(Math.abs(expected(predictor, 1) - own) < 0.01 * own);
  assert.ok(Math.abs(expected(predictor, 2, 9) - 5 * own) < 0.01 * own * 5);
});

test('a tenant waits for its own requests and for as much of each other’s, not for all of a flood', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const predictor = new LatencyPredictor(requestQueue, new Map());
  const probe = probeWith(1, 4);
  const polite = requestOf(4, probe, 5, { tenant: 'polite' });
  const own = predictor.latencyMs(polite, 1);
  for (let count = 0; count < 50; count += 1) requestQueue.add(requestOf(4, probe, 5, { tenant: 'flood' }));
  const all = predictor.latencyMs(requestOf(4, probe, 5, { tenant: 'flood' }), 1);
  assert.ok(all > 50 * own, String(all));
  const waits = predictor.latencyMs(polite, 1);
  assert.ok(waits > own && waits < 2.2 * own, String(waits));
  requestQueue.add(polite);
  assert.ok(predictor.latencyMs(requestOf(4, probe, 5, { tenant: 'polite' }), 1) < 4.3 * own);
  const other = predictor.latencyMs(requestOf(4, probeWith(2, 4), 5, { tenant: 'flood' }), 1);
  assert.ok(other > own && other < 2.2 * own, `another probe: ${other}`);
});

test('a request whose tokens are all masked does not disturb the predictions', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const predictor = new LatencyPredictor(requestQueue, new Map());
  const probe = probeWith(1, 4);
  requestQueue.add(requestOf(1, probe, 0));
  const next = requestOf(1, probe, 3);
  admit(predictor, next);
  predictor.recordEnded(next);
  assert.ok(Number.isFinite(expected(predictor, 1)), String(expected(predictor, 1)));
});
