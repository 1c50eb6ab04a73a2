/** When the circuit breaker opens, and how one trial at a time closes it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CircuitBreaker } from '../../../clients/typescript/src/circuit-breaker.js';

test('one trial at a time decides, and one that fails opens the circuit again', () => {
  let now = 0;
  const breaker = new CircuitBreaker(2, 10, () => now);
  for (let index = 0; index < 2; index += 1) {
    assert.ok(breaker.allowRequest());
    breaker.recordFault();
  }
  assert.ok(!breaker.allowRequest());
  now = 10_000;
  assert.ok(breaker.allowRequest());
  assert.ok(!breaker.allowRequest(), 'a trial is under way');
  breaker.recordFault();
  now = 19_000;
  assert.ok(!breaker.allowRequest());
  now = 20_000;
  assert.ok(breaker.allowRequest());
  breaker.recordCancellation();
  assert.ok(breaker.allowRequest(), 'a cancelled trial is neither an answer nor a fault');
  breaker.recordAnswer();
  assert.ok(breaker.allowRequest());
  breaker.recordFault();
  assert.ok(breaker.allowRequest(), 'faults are counted from the last answer');
});

test('with 0 faults it never opens', () => {
  const breaker = new CircuitBreaker(0, 10, () => 0);
  for (let index = 0; index < 100; index += 1) {
    assert.ok(breaker.allowRequest());
    breaker.recordFault();
  }
});
