/** Tests the element count of shapes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { elementCount } from '../../src/wire/tensor.js';

test('the element count of an impossible shape is undefined', () => {
  assert.equal(elementCount([2, 3, 4]), 24);
  assert.equal(elementCount([]), 1);
  assert.equal(elementCount([5, 0]), 0);
  for (const shape of [[-1], [1.5], ['2'], [null], [2 ** 53], [2 ** 30, 2 ** 30], [Infinity]]) {
    assert.equal(elementCount(shape), undefined, JSON.stringify(shape));
  }
});
