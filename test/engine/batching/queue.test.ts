/** Tests that the queue keeps its order and its limits, and counts its samples and bytes correctly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { RequestQueue } from '../../../src/engine/batching/queue.js';
import type { ScoreRequest } from '../../../src/engine/batching/score-request.js';
import { probeWith, requestOf } from '../../support/made-up-probe.js';

const NO_LIMITS = { maxQueueSamples: Infinity, maxQueueBytes: Infinity };

function samplesOf(requestQueue: RequestQueue): number[] {
  return requestQueue.take()?.parts.map(({ samples }) => samples) ?? [];
}

test('whole requests are taken as long as they fit, in order', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const probe = probeWith(1, 8);
  for (const samples of [2, 3, 4, 1]) requestQueue.add(requestOf(samples, probe));
  assert.deepEqual(samplesOf(requestQueue), [2, 3]);
  assert.deepEqual(samplesOf(requestQueue), [4, 1]);
  assert.deepEqual(samplesOf(requestQueue), []);
});

test('only a request larger than a batch is cut, into equal parts, and its last one shares a batch', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const probe = probeWith(1, 4);
  for (const samples of [2, 9, 1]) requestQueue.add(requestOf(samples, probe));
  assert.deepEqual(samplesOf(requestQueue), [2]);
  assert.deepEqual(samplesOf(requestQueue), [3]);
  assert.equal(requestQueue.depth().samples, 7);
  assert.deepEqual(samplesOf(requestQueue), [3]);
  assert.deepEqual(samplesOf(requestQueue), [3, 1]);
  assert.deepEqual(requestQueue.depth(), { samples: 0, bytes: 0 });
});

test('a request up to twice a batch stays whole', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const probe = probeWith(1, 64, 8);
  const take = (): number[] => samplesOf(requestQueue);
  for (const samples of [8, 9, 1, 8, 1]) requestQueue.add(requestOf(samples, probe, 2));
  assert.deepEqual(take(), [8]);
  assert.deepEqual(take(), [3], 'a larger one is cut');
  assert.deepEqual(take(), [3]);
  assert.deepEqual(take(), [3, 1], 'none of that size joins a batch that has begun');
  assert.deepEqual(take(), [8]);
  assert.deepEqual(take(), [1]);
  const limited = probeWith(2, 4);
  requestQueue.add(requestOf(5, limited));
  assert.deepEqual(take(), [2], 'the operator’s limit applies');
});

test('a batch is limited in padded tokens, and its longest sample pads all others', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const probe = probeWith(1, 100, 24);
  for (const [samples, tokens] of [
    [2, 3],
    [3, 3],
    [1, 4],
    [1, 5],
    [9, 6],
    [1, 50],
    [9, 1],
  ] as const)
    requestQueue.add(requestOf(samples, probe, tokens));
  const batches: [number[], number][] = [];
  for (let batch = requestQueue.take(); batch; batch = requestQueue.take())
    batches.push([batch.parts.map(({ samples }) => samples), batch.paddedTokens]);
  assert.deepEqual(batches, [
    [[2, 3, 1], 24],
    [[1, 3], 24],
    [[3], 18],
    [[3], 18],
    [[1], 50],
    [[9], 9],
  ]);
});

test('the work that waits is the cost of its tokens and of the runs that it takes', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  assert.equal(requestQueue.workAheadMs('', Infinity, undefined), 0);
  requestQueue.add(requestOf(3, probeWith(1, 4), 5));
  assert.equal(requestQueue.workAheadMs('', Infinity, undefined), 15 + 10);
  requestQueue.add(requestOf(5, probeWith(1, 4), 1));
  assert.equal(requestQueue.workAheadMs('', Infinity, undefined), 15 + 5 + 2 * 10);
  requestQueue.add(requestOf(10, probeWith(2, 100, 10), 2));
  assert.equal(requestQueue.workAheadMs('', Infinity, undefined), 40 + 20 + 2 * 10);
});

test('the probe whose first request has waited longest is next', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const [one, two] = [probeWith(1, 8), probeWith(2, 8)];
  const late = requestOf(1, one);
  while (performance.now() <= late.arrivedAt);
  requestQueue.add(requestOf(1, two));
  requestQueue.add(late);
  assert.equal(requestQueue.take()?.probe, one);
  assert.equal(requestQueue.take()?.probe, two);
});

test('removing a request that is partly taken removes the rest of it', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  const probe = probeWith(1, 4);
  const large = requestOf(10, probe);
  requestQueue.add(large);
  requestQueue.add(requestOf(1, probe));
  requestQueue.take();
  requestQueue.remove(large);
  requestQueue.remove(large);
  assert.equal(requestQueue.depth().samples, 1);
  assert.deepEqual(samplesOf(requestQueue), [1]);
});

test('after any sequence of events, the counts match the content and no request is lost', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      samples: fc.integer({ min: 1, max: 12 }),
      probe: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('remove' as const), index: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (events, limit) => {
      const [one, two] = [probeWith(1, limit), probeWith(2, limit)];
      const requestQueue = new RequestQueue({ maxQueueSamples: 30, maxQueueBytes: 2000 });
      /** The samples that wait of each request. */
      const inside = new Map<ScoreRequest, number>();
      for (const step of events) {
        if (step.kind === 'add') {
          const request = requestOf(step.samples, step.probe ? one : two);
          try {
            requestQueue.add(request);
            inside.set(request, step.samples);
            assert.ok(
              inside.size === 1 || (requestQueue.depth().samples <= 30 && requestQueue.depth().bytes <= 2000),
            );
          } catch {
            assert.ok(inside.size > 0, 'an empty queue is never full');
          }
        } else if (step.kind === 'take') {
          const batch = requestQueue.take();
          assert.equal(batch === undefined, inside.size === 0);
          assert.ok((batch?.samples ?? 0) <= limit);
          for (const { request, samples } of batch?.parts ?? []) {
            const waiting = (inside.get(request) ?? NaN) - samples;
            if (waiting === 0) inside.delete(request);
            else inside.set(request, waiting);
          }
        } else {
          const gone = [...inside.keys()][step.index];
          if (!gone) continue;
          requestQueue.remove(gone);
          inside.delete(gone);
        }
        assert.deepEqual(requestQueue.depth(), {
          samples: [...inside.values()].reduce((sum, samples) => sum + samples, 0),
          bytes: [...inside.keys()].reduce((sum, { bytes }) => sum + bytes, 0),
        });
      }
      assert.deepEqual(new Set(requestQueue.requests()), new Set(inside.keys()));
      for (const request of requestQueue.requests()) requestQueue.remove(request);
      assert.deepEqual(requestQueue.depth(), { samples: 0, bytes: 0 });
    }),
  );
});
