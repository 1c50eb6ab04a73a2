/** The schedule of open loops is repeatable and Poisson distributed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { poissonArrivals } from '../../../bench/load/poisson.js';

const RATE = 400;
const SECONDS = 100;

test('the same seed gives the same schedule, another seed another one', () => {
  assert.deepEqual(poissonArrivals(RATE, 1, 7), poissonArrivals(RATE, 1, 7));
  assert.notDeepEqual(poissonArrivals(RATE, 1, 7), poissonArrivals(RATE, 1, 8));
});

test('a shorter schedule is the beginning of a longer one', () => {
  const long = poissonArrivals(RATE, 2, 3);
  const short = poissonArrivals(RATE, 1, 3);
  assert.deepEqual(long.slice(0, short.length), short);
  assert.ok((long[short.length] ?? 0) >= 1000);
});

test('arrivals ascend within the time, have the rate and exponentially distributed gaps', () => {
  const arrivals = poissonArrivals(RATE, SECONDS, 1);
  const gaps = arrivals.map((at, index) => at - (arrivals[index - 1] ?? 0));
  assert.ok(gaps.every((gap) => gap > 0));
  assert.ok((arrivals.at(-1) ?? Infinity) < SECONDS * 1000);

  // Five standard deviations of a count are its root times five.
  const expected = RATE * SECONDS;
  assert.ok(Math.abs(arrivals.length - expected) < 5 * Math.sqrt(expected));
  // Of exponential gaps, the deviation is the mean, and e⁻¹ of them are longer than it.
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
  assert.ok(Math.abs(Math.sqrt(variance) / mean - 1) < 0.05);
  const longer = gaps.filter((gap) => gap > mean).length / gaps.length;
  assert.ok(Math.abs(longer - Math.exp(-1)) < 0.02);
});

test('a rate that is not positive is an error', () => {
  for (const rate of [0, -1, NaN]) assert.throws(() => poissonArrivals(rate, 1, 1), RangeError);
});
