/** Tests that the margin follows how late things happen, and how much that varies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { PredictionMargin } from '../src/prediction-margin.js';

const MANY = 200;

test('the margin starts at zero, and becomes a lateness that is always the same', () => {
  const margin = new PredictionMargin();
  assert.equal(margin.margin, 0);
  for (let count = 0; count < MANY; count += 1) margin.learn(7);
  assert.ok(Math.abs(margin.margin - 7) < 0.01, String(margin.margin));
});

test('things that happen early need no margin', () => {
  const margin = new PredictionMargin();
  for (let count = 0; count < MANY; count += 1) margin.learn(-5);
  assert.equal(margin.margin, 0);
});

test('the margin grows with the variation, and covers more than all of a regular one', () => {
  const marginOf = (spread: number): number => {
    const margin = new PredictionMargin();
    for (let count = 0; count < MANY; count += 1) margin.learn(count % 2 === 0 ? spread : -spread);
    return margin.margin;
  };
  assert.ok(marginOf(2) > marginOf(1));
  assert.ok(marginOf(2) > 2);
});

test('a margin is always a finite number of at least zero', () => {
  const late = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }));
  fc.assert(
    fc.property(late, (times) => {
      const margin = new PredictionMargin();
      for (const ms of times) margin.learn(ms);
      assert.ok(margin.margin >= 0 && Number.isFinite(margin.margin));
    }),
  );
});
