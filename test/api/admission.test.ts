/** Tests that only what has arrived takes room, that slow bodies are cut off, and whose body is refused when there are too many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Admission } from '../../src/api/admission.js';
import type { Engine, ExpectedRequest } from '../../src/engine/types.js';
import { ProblemError } from '../../src/errors.js';
import { fakeEngine } from '../support/app.js';

const LIMITS = { maxQueueBytes: 1000, minBodyBytesPerSecond: 1000 };
const SLOW_BODY_MS = 100;

function admissionOf(engine: Partial<Engine> = {}, limits = LIMITS): Admission {
  return new Admission(fakeEngine(engine), limits, SLOW_BODY_MS);
}

const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof ProblemError && error.code === code;

test('announced bodies take no room, and count as far as they have come', () => {
  let expected: ExpectedRequest | undefined;
  const admission = admissionOf({
    predictedLatencyMs: (request) => {
      expected = request;
      return 0;
    },
  });
  const silent = Array.from({ length: 100 }, () => admission.admit('a', 900));
  const body = admission.admit('b', 900);
  body.count(450);
  admission.refuseLate('b', undefined, 10);
  assert.deepEqual(
    expected?.receiving.map(({ tenant, requests }) => [tenant, requests]),
    [
      ['a', 0],
      ['b', 0.5],
    ],
  );
  for (const arrival of [...silent, body]) arrival.end();
  admission.refuseLate('b', undefined, 10);
  assert.deepEqual(expected?.receiving, []);
});

test('a body that arrives too slowly is cut off, one at the rate is not', async () => {
  const admission = admissionOf({}, { ...LIMITS, maxQueueBytes: 1e6 });
  const [silent, trickle, steady] = [0, 1, 2].map(() => admission.admit('a', 10_000));
  assert.ok(silent && trickle && steady);
  const cut = new Map<string, unknown>();
  silent.onCutOff((error) => cut.set('silent', error));
  trickle.onCutOff((error) => cut.set('trickle', error));
  steady.onCutOff((error) => cut.set('steady', error));
  const end = performance.now() + 6 * SLOW_BODY_MS;
  while (performance.now() < end && cut.size < 2) {
    await delay(10);
    trickle.count(1);
    // Other tests may delay this one.
    steady.count(100);
    if (steady.received > 5000) steady.end();
  }
  assert.deepEqual([...cut.keys()].toSorted(), ['silent', 'trickle']);
  assert.ok(isCode('request_timeout')(cut.get('silent')));
  for (const arrival of [silent, trickle, steady]) arrival.end();
});

test('when too many bytes arrive, the tenant that sends the most loses its latest body', () => {
  const admission = admissionOf();
  const [first, second] = [admission.admit('flood', 900), admission.admit('flood', 900)];
  const cut: unknown[] = [];
  second.onCutOff((error) => {
    cut.push(error);
    second.end();
  });
  first.count(600);
  second.count(300);
  const polite = admission.admit('polite', 200);
  polite.count(150);
  assert.equal(cut.length, 1);
  assert.ok(isCode('tenant_limit')(cut[0]));
  assert.throws(() => first.count(300), isCode('tenant_limit'));
});

test('a tenant alone gets overloaded, and a body alone is always received', () => {
  const admission = admissionOf();
  const large = admission.admit('a', 5000);
  large.count(5000);
  assert.throws(() => admission.admit('a', 10).count(10), isCode('overloaded'));
});

test('bytes that wait in the queue count too, by the queue’s own rules', () => {
  const refusals = new Map([['flood', 'tenant_limit' as const]]);
  const admission = admissionOf({
    queueDepth: () => ({ samples: 8, bytes: 990 }),
    queueRefusal: (tenant, _samples, bytes) => (bytes > 0 ? refusals.get(tenant) : undefined),
  });
  assert.throws(() => admission.admit('flood', 100).count(50), isCode('tenant_limit'));
  admission.admit('polite', 100).count(60);
});
