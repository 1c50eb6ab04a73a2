/** Tests that probes and tenants take turns in the queue, and that none takes the room of another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { RequestQueue } from '../../../src/engine/batching/queue.js';
import type { ScoreRequest } from '../../../src/engine/batching/score-request.js';
import { ProblemError } from '../../../src/errors.js';
import { probeWith, requestOf } from '../../support/made-up-probe.js';

const NO_LIMITS = { maxQueueSamples: Infinity, maxQueueBytes: Infinity };
const BYTES_OF_8 = requestOf(8, probeWith(1, 8)).bytes;

function tenantsOf(requestQueue: RequestQueue, batches: number): string[] {
  const taken = Array.from({ length: batches }, () => requestQueue.take()?.parts ?? []);
  return taken.flat().map(({ request }) => request.tenant);
}

function addMany(
  requestQueue: RequestQueue,
  count: number,
  samples: number,
  tenant: string,
  key = 1,
): ScoreRequest[] {
  const probe = probeWith(key, 8);
  return Array.from({ length: count }, () => {
    const request = requestOf(samples, probe, 1, { tenant });
    requestQueue.add(request);
    return request;
  });
}

const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof ProblemError && error.code === code;

test('tenants take turns, however much one of them has sent before', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  addMany(requestQueue, 20, 8, 'flood');
  assert.deepEqual(tenantsOf(requestQueue, 2), ['flood', 'flood']);
  addMany(requestQueue, 2, 8, 'polite');
  const next = tenantsOf(requestQueue, 4);
  assert.deepEqual(next, ['polite', 'flood', 'polite', 'flood']);
});

test('turns count samples, so that large groups get no larger share', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  addMany(requestQueue, 10, 8, 'groups');
  addMany(requestQueue, 80, 1, 'singles');
  const taken = tenantsOf(requestQueue, 8);
  const singles = taken.filter((tenant) => tenant === 'singles').length;
  const groups = taken.filter((tenant) => tenant === 'groups').length;
  assert.ok(Math.abs(singles - 8 * groups) <= 8, taken.join(' '));
});

test('a tenant that was away saves up no turns', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  addMany(requestQueue, 1, 8, 'guest');
  addMany(requestQueue, 30, 8, 'steady');
  tenantsOf(requestQueue, 20);
  addMany(requestQueue, 6, 8, 'guest');
  assert.deepEqual(tenantsOf(requestQueue, 4).filter((tenant) => tenant === 'guest').length, 2);
});

test('a flood on one probe lets every other batch be of another probe', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  addMany(requestQueue, 50, 8, 'a', 1);
  requestQueue.take();
  addMany(requestQueue, 3, 8, 'a', 2);
  const probes = Array.from({ length: 6 }, () => requestQueue.take()?.probe.key);
  assert.deepEqual(probes, [2, 1, 2, 1, 2, 1]);
});

test('a tenant is below its share when it has less than the others on average', () => {
  const requestQueue = new RequestQueue(NO_LIMITS);
  assert.ok(!requestQueue.isBelowShare('polite'), 'nobody waits');
  addMany(requestQueue, 2, 8, 'flood');
  assert.ok(!requestQueue.isBelowShare('flood'));
  assert.ok(requestQueue.isBelowShare('polite'));
  addMany(requestQueue, 1, 8, 'polite');
  assert.ok(requestQueue.isBelowShare('polite') && !requestQueue.isBelowShare('flood'));
});

test('while others wait, a tenant holds at most its share; alone it may fill the queue', () => {
  const requestQueue = new RequestQueue({
    maxQueueSamples: 40,
    maxQueueBytes: Infinity,
    tenantQueueShare: 0.5,
  });
  addMany(requestQueue, 4, 8, 'flood');
  addMany(requestQueue, 1, 8, 'flood');
  assert.throws(() => addMany(requestQueue, 1, 8, 'flood'), isCode('overloaded'), 'the whole queue');
  const polite = addMany(requestQueue, 1, 8, 'polite')[0] ?? assert.fail();
  assert.throws(() => addMany(requestQueue, 1, 1, 'flood'), isCode('tenant_limit'));
  assert.equal(requestQueue.refusal('flood', 1, 1), 'tenant_limit');
  assert.equal(requestQueue.refusal('polite', 8, 1), undefined);
  requestQueue.remove(polite);
  assert.equal(requestQueue.refusal('flood', 1, 1), undefined);
});

test('a full queue displaces the latest requests of the tenant that holds the most', () => {
  const polite = requestOf(4, probeWith(1, 8), 1, { tenant: 'polite' });
  const limited = new RequestQueue({ maxQueueSamples: Infinity, maxQueueBytes: 3 * BYTES_OF_8 });
  const large = addMany(limited, 3, 8, 'flood');
  assert.deepEqual(limited.add(polite), [large[2]]);

  const requestQueue = new RequestQueue({ maxQueueSamples: 24, maxQueueBytes: Infinity });
  const flood = addMany(requestQueue, 3, 8, 'flood');
  assert.deepEqual(requestQueue.add(polite), [flood[2]]);
  addMany(requestQueue, 1, 4, 'third');
  assert.equal(requestQueue.refusal('flood', 4, 0), 'tenant_limit');
  assert.equal(requestQueue.refusal('third', 16, 0), 'overloaded');
  assert.equal(requestQueue.depth().samples, 24);
});

test('after any sequence of events the limits hold, and whoever sends least is served soonest', () => {
  const event = fc.record({ tenant: fc.nat(3), samples: fc.integer({ min: 1, max: 8 }), take: fc.boolean() });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const requestQueue = new RequestQueue({
        maxQueueSamples: 32,
        maxQueueBytes: Infinity,
        tenantQueueShare: 0.5,
      });
      const inside = new Set<ScoreRequest>();
      for (const { tenant, samples, take } of events) {
        const request = requestOf(samples, probeWith(1 + (samples % 2), 8), 1, { tenant: String(tenant) });
        try {
          for (const displaced of requestQueue.add(request)) {
            assert.notEqual(displaced.tenant, request.tenant);
            assert.ok(inside.delete(displaced));
          }
          inside.add(request);
        } catch (error) {
          assert.ok(isCode('tenant_limit')(error) || isCode('overloaded')(error));
        }
        assert.ok(requestQueue.depth().samples <= 32);
        if (take) for (const { request: taken } of requestQueue.take()?.parts ?? []) inside.delete(taken);
        const held = [...inside].reduce((sum, waiting) => sum + waiting.samples, 0);
        assert.equal(requestQueue.depth().samples, held);
      }
      const waiting = new Set([...inside].map(({ tenant, probe }) => `${tenant} ${probe.key}`));
      requestQueue.add(requestOf(1, probeWith(9, 8), 1, { tenant: 'late' }));
      let batches = 1;
      while (requestQueue.take()?.probe.key !== 9) batches += 1;
      assert.ok(batches <= waiting.size + 3, `${batches} batches`);
    }),
  );
});
