/** Quality against calls: what a plan brings on test captions by their scores, beside best-of-k and a random seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { expectedBest } from '../../demo/page/app/account.js';
import { qualityCurve } from '../../demo/quality-curve.js';
import type { TestScores } from '../../demo/test-scores.js';

const STEPS = 25;
const SEEDS = 4;

function scoresOf(quality: number[][], byStep: Record<string, number[][]>): TestScores {
  const steps = Object.fromEntries(Object.entries(byStep).map(([step, scores]) => [step, { scores }]));
  return { captions: quality.map((_, index) => `caption ${index}`), quality, steps };
}

function qualityOf(scores: TestScores, seeds: number, keep: Record<string, number>): number | undefined {
  return qualityCurve(scores, [{ budget: 1, calls: 25, plan: { seeds, keep } }], STEPS).plans[0]?.[1];
}

const close = (left: number | undefined, right: number): boolean => Math.abs((left ?? NaN) - right) < 1e-9;
const anyQuality = fc.array(
  fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: SEEDS, maxLength: SEEDS }),
  {
    minLength: 1,
    maxLength: 5,
  },
);

test('with perfect scores a plan finds the best, with reversed ones the worst', () => {
  fc.assert(
    fc.property(anyQuality, (quality) => {
      const reversed = quality.map((row) => row.map((value) => -value));
      const scores = scoresOf(quality, { 5: quality, 10: reversed });
      const mean = (choose: (row: number[]) => number): number =>
        quality.reduce((sum, row) => sum + choose(row), 0) / quality.length;
      assert.ok(
        close(
          qualityOf(scores, SEEDS, { 5: 1 }),
          mean((row) => Math.max(...row)),
        ),
      );
      assert.ok(
        close(
          qualityOf(scores, SEEDS, { 10: 1 }),
          mean((row) => Math.min(...row)),
        ),
      );
    }),
  );
});

test('each question is about those that lived on after the one before', () => {
  const scores = scoresOf([[0.1, 0.2, 0.3, 0.4]], { 1: [[4, 3, 2, 1]], 5: [[1, 2, 3, 4]] });
  assert.equal(qualityOf(scores, SEEDS, { 1: 2, 5: 1 }), 0.2);
  assert.equal(qualityOf(scores, SEEDS, { 1: 2 }), 0.2, 'the better one of two finished images');
});

test('a plan that starts fewer images is a mean over groups in which each seed occurs equally often', () => {
  fc.assert(
    fc.property(anyQuality, (quality) => {
      const scores = scoresOf(quality, {});
      const { bestOfK, random } = qualityCurve(scores, [], STEPS);
      assert.ok(close(qualityOf(scores, 1, {}), random), 'one image is a random one');
      assert.ok(close(qualityOf(scores, SEEDS, {}), bestOfK.at(-1)![1]), 'all images have the best');
    }),
  );
  assert.ok(close(qualityOf(scoresOf([[0, 1, 0, 1]], {}), 2, {}), 1));
  assert.ok(close(qualityOf(scoresOf([[0, 0, 1, 1]], {}), 2, {}), 0.75));
});

test('best-of-k is exact, and costs whole images', () => {
  const row = [0.1, 0.9, 0.4, 0.2];
  const { bestOfK, random, captions } = qualityCurve(scoresOf([row], {}), [], STEPS);
  assert.deepEqual(
    bestOfK.map(([calls]) => calls),
    [25, 50, 75, 100],
  );
  for (const [index, [, value]] of bestOfK.entries()) assert.ok(close(value, expectedBest(row, index + 1)));
  assert.ok(close(random, 0.4));
  assert.equal(captions, 1);
});

test('a plan with more images than there are test seeds has no point, one that asks at an unknown step is an error', () => {
  const scores = scoresOf([[0.1, 0.2]], { 5: [[1, 2]] });
  assert.equal(qualityOf(scores, 3, { 5: 1 }), undefined);
  assert.throws(() => qualityOf(scores, 2, { 7: 1 }), /the test scores have no step 7/);
});
