/** Quantiles and medians follow their definitions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { median, medianBy, quantile, spreadOf } from '../../bench/statistics.js';

const values = fc.array(fc.double({ noNaN: true }), { minLength: 1 });

test('a quantile is the smallest value that at least its share does not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile(hundred, 0.999), 100);
  assert.equal(quantile([7], 0.01), 7);
  assert.equal(quantile([], 0.5), NaN);
  fc.assert(
    fc.property(values, fc.double({ min: 0.001, max: 1, noNaN: true }), (list, share) => {
      const found = quantile(Float64Array.from(list).toSorted(), share);
      const below = list.filter((value) => value < found).length;
      const notAbove = list.filter((value) => value <= found).length;
      assert.ok(notAbove >= share * list.length);
      assert.ok(below < share * list.length);
    }),
  );
});

test('a spread sorts by value and not as text', () => {
  assert.deepEqual(spreadOf([10, 9, 100, 1]), { p50: 9, p90: 100, p99: 100, p999: 100, max: 100 });
  assert.equal(spreadOf([]).p50, NaN);
});

test('a median has as many values below it as above', () => {
  assert.equal(median([3, 1, 20]), 3);
  assert.equal(median([4, 1, 2, 20]), 3);
  assert.equal(median([]), NaN);
});

test('the median item is one of the items, the lower of the middle two', () => {
  const items = [{ rate: 30 }, { rate: 1 }, { rate: 4 }, { rate: 200 }];
  assert.equal(
    medianBy(items, ({ rate }) => rate),
    items[2],
  );
  assert.throws(() => medianBy([], () => 0), RangeError);
});
