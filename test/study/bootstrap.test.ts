/** Intervals by resampling have the width that theory gives them, and stay the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { uniformNumbers } from '../../src/reference/uniform.js';
import { bootstrapInterval } from '../../src/study/bootstrap.js';

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

test('the interval of a mean is two standard errors to either side', () => {
  const random = uniformNumbers('units');
  const units = Array.from({ length: 400 }, random);
  const [low, high] = bootstrapInterval(units, mean) ?? assert.fail();
  const error = Math.sqrt(1 / 12 / 400);
  assert.ok(Math.abs((low + high) / 2 - mean(units)) < 0.2 * error);
  assert.ok(Math.abs((high - low) / (2 * 1.96 * error) - 1) < 0.15, `${low} ${high}`);
  assert.deepEqual(bootstrapInterval(units, mean), [low, high]);
});

test('draws without the figure are left out; where it never exists there is no interval', () => {
  const ratio = (units: readonly number[]): number => 1 / units.filter(Boolean).length - 1 / 3;
  const [low, high] = bootstrapInterval([0, 1], (units) => (units.includes(1) ? ratio(units) : NaN)) ?? [];
  assert.ok(low !== undefined && high !== undefined && Number.isFinite(low) && Number.isFinite(high));
  assert.equal(
    bootstrapInterval([0], () => NaN),
    null,
  );
});
