/** Tests that long computations take turns with each other and with the event loop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { finish, inSlices, type Steps } from '../../src/wire/slices.js';

function* busy(steps: number, stepMs: number, onStep: (index: number) => void = () => {}): Steps<number> {
  for (let index = 0; index < steps; index += 1) {
    const end = performance.now() + stepMs;
    while (performance.now() < end);
    onStep(index);
    yield;
  }
  return steps;
}

test('a computation gives its result or its error', async () => {
  assert.equal(await inSlices(busy(3, 0)), 3);
  assert.equal(finish(busy(4, 0)), 4);
  const failing = inSlices(
    busy(3, 0, (index) => {
      if (index === 1) throw new TypeError('oh');
    }),
  );
  await assert.rejects(failing, TypeError);
});

test('a short computation ends at once', async () => {
  // The test before has ended its last slice.
  await nextTurn();
  await nextTurn();
  const steps: number[] = [];
  const result = inSlices(busy(3, 0, (index) => steps.push(index)));
  assert.deepEqual(steps, [0, 1, 2]);
  await result;
});

test('one slice runs per turn of the loop, and computations take turns', async () => {
  const order: string[] = [];
  const both = [inSlices(busy(20, 1, () => order.push('a'))), inSlices(busy(20, 1, () => order.push('b')))];
  let turns = 0;
  for (; order.length < 40; turns += 1) await nextTurn();
  await Promise.all(both);
  assert.ok(turns >= 6, `${turns} turns for 40 ms`);
  assert.ok(order.indexOf('b') < order.lastIndexOf('a'), order.join(''));
});
