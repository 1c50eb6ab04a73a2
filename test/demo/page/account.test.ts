/** The account of a drawing: what was spent, and what other ways to spend as much would have brought. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { accountOf, compare, expectedBest, verdictOf } from '../../../demo/page/app/account.js';
import type { Candidate, Drawing } from '../../../demo/page/app/state.js';

const STEPS = 10;

/** A drawing of which the account reads the candidates and how many were alive at each step. */
function drawing(candidates: readonly Partial<Candidate>[], alive: readonly number[]): Drawing {
  return { candidates, alive } as Drawing;
}

const completed = (quality: number): Partial<Candidate> => ({
  completed: { pixels: new Uint8ClampedArray(4), quality },
});

test('calls are counted step by step, and the best is that of the kept', () => {
  const candidates = [{ quality: 0.5 }, { quality: 0.7 }, { droppedAt: 1 }, { droppedAt: 1 }];
  const account = accountOf(drawing(candidates, [4, 2, 2]), STEPS);
  assert.deepEqual(account, { calls: 8, allCalls: 40, best: 0.7, others: undefined });
});

test('before anything is finished there is no quality', () => {
  const account = accountOf(drawing([{}, {}], [2]), STEPS);
  assert.deepEqual([account.best, account.others], [undefined, undefined]);
});

test('with the dropped ones finished too, the plan is compared with other ways', () => {
  const candidates = [{ quality: 0.5 }, completed(0.9), completed(0.2), completed(0)];
  const { best, others } = accountOf(drawing(candidates, [4, 4, ...Array<number>(8).fill(1.5)]), STEPS);
  assert.equal(best, 0.5);
  assert.ok(others);
  assert.equal(others.k, 2);
  assert.equal(others.bestOfAll, 0.9);
  assert.ok(Math.abs(others.random - 0.4) < 1e-9);
  // Of six pairs, three have 0.9, two 0.5 and one 0.2.
  assert.ok(Math.abs(others.bestOfK - (3 * 0.9 + 2 * 0.5 + 0.2) / 6) < 1e-9);
});

test('the verdict in words: better, worse, and what became of the best of all', () => {
  const others = { random: 0.3, k: 3, bestOfK: 0.6, bestOfAll: 0.9 };
  const end = 'best-of-k at that cost,';
  assert.equal(verdictOf(0.9, others), `Quality 0.30 above ${end} and the best of all.`);
  assert.equal(verdictOf(0.5, others), `Quality 0.10 below ${end} but the best of all was dropped.`);
  assert.match(verdictOf(0.601, others), /^Quality as good as best-of-k/);
});

test('between two numbers of images the expected best lies between theirs', () => {
  const values = [0.1, 0.2, 0.6, 0.9];
  const { bestOfK } = compare(values, 2.5);
  assert.ok(Math.abs(bestOfK - (expectedBest(values, 2) + expectedBest(values, 3)) / 2) < 1e-9);
});

test('a budget below one image or above all of them is one image or all of them', () => {
  assert.equal(compare([0.2, 0.4], 0.3).k, 1);
  assert.equal(compare([0.2, 0.4], 7).bestOfK, 0.4);
});

test('the expected best of k is the mean over all choices of k', () => {
  const values = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(values, fc.nat({ max: 6 }), (all, index) => {
      const k = (index % all.length) + 1;
      const best = subsets(all, k).map((some) => Math.max(...some));
      const mean = best.reduce((sum, value) => sum + value, 0) / best.length;
      assert.ok(Math.abs(expectedBest(all, k) - mean) < 1e-9);
    }),
  );
});

function subsets(values: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return values.flatMap((value, index) =>
    subsets(values.slice(index + 1), size - 1).map((rest) => [value, ...rest]),
  );
}
