/** A limit counts the time that the process ran, and not a pause. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { RunningClock } from '../src/running-clock.js';

/** Nothing in this thread runs meanwhile, as when the process is stopped. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** When the limit was reached, on the clock of performance.now(), ms. */
function reached(clock: RunningClock, ms: number): Promise<number> {
  // The clock does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  return new Promise((resolve) => {
    clock.limit(ms, () => {
      clearInterval(alive);
      resolve(performance.now());
    });
  });
}

test('a limit is reached when the process has run for so long, never earlier', async () => {
  const start = performance.now();
  const clock = new RunningClock();
  const [early, late] = await Promise.all([reached(clock, 120), reached(clock, 300)]);
  assert.ok(early - start >= 120 && late - start >= 300);
  assert.ok(early < late);
});

test('a pause counts as a fraction of a second', async () => {
  const clock = new RunningClock();
  const end = reached(clock, 600);
  await delay(100);
  pause(2000);
  const resumed = performance.now();
  assert.ok((await end) - resumed >= 250);
});

test('a cancelled limit is not reached, and the clock works again later', async () => {
  const clock = new RunningClock();
  let count = 0;
  clock.limit(30, () => (count += 1))();
  await delay(300);
  assert.equal(count, 0);
  await reached(clock, 30);
});
