/** Owns the proof that a margin follows what came late, and how widely that spread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { PredictionMargin } from '../../src/engine/prediction-margin.js';

const MANY = 200;

test('nothing learnt, no margin; what is always late by the same is the margin', () => {
  const error = new PredictionMargin();
  assert.equal(error.marginMs, 0);
  for (let turn = 0; turn < MANY; turn += 1) error.learn(7);
  assert.ok(Math.abs(error.marginMs - 7) < 0.01, String(error.marginMs));
});

test('what comes early asks for no margin', () => {
  const error = new PredictionMargin();
  for (let turn = 0; turn < MANY; turn += 1) error.learn(-5);
  assert.equal(error.marginMs, 0);
});

test('the more it spreads and the more deviations are asked for, the wider the margin', () => {
  const marginOf = (spread: number, deviations?: number): number => {
    const error = new PredictionMargin(deviations);
    for (let turn = 0; turn < MANY; turn += 1) error.learn(turn % 2 === 0 ? spread : -spread);
    return error.marginMs;
  };
  assert.ok(marginOf(2) > marginOf(1));
  assert.ok(marginOf(2) > marginOf(2, 2));
  assert.ok(marginOf(2, 2) > 2);
});

test('a margin is a number of at least zero, whatever is learnt', () => {
  const late = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }));
  fc.assert(
    fc.property(late, (times) => {
      const error = new PredictionMargin();
      for (const ms of times) error.learn(ms);
      assert.ok(error.marginMs >= 0 && Number.isFinite(error.marginMs));
    }),
  );
});
