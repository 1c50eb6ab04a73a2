/** The best batch size and the cost of a run are measured, for fast and slow probes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { BatchPlan, measureBatches } from '../../../src/engine/warm-up/batch-plan.js';

const TOKENS = 12;

async function planOf(run: (samples: number) => Promise<number>, maxSamples?: number): Promise<BatchPlan> {
  return new BatchPlan(await measureBatches(run, TOKENS, maxSamples), maxSamples);
}

test('the smallest size close to the best is chosen, and sizes that would exceed the time limit of a run are not tried', async () => {
  const ran: number[] = [];
  // From 8 samples on, each further one costs as much as it did alone.
  const run = async (samples: number): Promise<number> => {
    ran.push(samples);
    return samples <= 8 ? 10 + samples : 18 + (samples - 8) * 2.25;
  };
  const plan = await planOf(run);
  assert.deepEqual([plan.bestSamples, plan.maxPaddedTokens], [8, 8 * TOKENS]);
  assert.deepEqual([...new Set(ran)], [1, 2, 4, 8]);
  assert.equal(plan.samplesThatFit(TOKENS), 8);
  assert.equal(plan.samplesThatFit(2 * TOKENS), 4);
  assert.equal(plan.samplesThatFit(TOKENS / 3), 24);
  assert.equal(plan.samplesThatFit(1000 * TOKENS), 1, 'a single sample always fits');
});

test('the largest batch is chosen when every larger one pays, and one sample when none does', async () => {
  assert.equal((await planOf(async () => 5)).bestSamples, 64);
  assert.equal((await planOf(async (samples) => 50 * samples)).bestSamples, 1);
});

test('the overhead of a run counts, so short runs get larger batches', async () => {
  assert.equal((await planOf(async (samples) => samples)).bestSamples, 8);
});

test('no batch is planned that takes too long, however much it saves', async () => {
  assert.equal((await planOf(async (samples) => 15 + samples)).bestSamples, 4);
  assert.equal((await planOf(async (samples) => 90 + samples)).bestSamples, 1);
});

test('a disturbance that lasts for several runs does not change the plan', async () => {
  for (const disturbedFrom of [0, 2, 4, 6]) {
    let runs = 0;
    const run = async (samples: number): Promise<number> => {
      const isDisturbed = runs >= disturbedFrom && runs < disturbedFrom + 6;
      runs += 1;
      return (1 + samples) * (isDisturbed ? 4 : 1);
    };
    const plan = await planOf(run);
    assert.equal(plan.bestSamples, 16);
    assert.deepEqual(plan.measurements.slice(0, 3), [
      { samples: 1, tokens: TOKENS, ms: 2 },
      { samples: 2, tokens: 2 * TOKENS, ms: 3 },
      { samples: 4, tokens: 4 * TOKENS, ms: 5 },
    ]);
  }
});

test('a slow probe is measured with few runs', async () => {
  const ran: number[] = [];
  const run = async (samples: number): Promise<number> => {
    ran.push(samples);
    return 200 * samples;
  };
  assert.equal((await planOf(run)).bestSamples, 1);
  assert.deepEqual(ran, [1, 1, 2, 2]);
});

test('the operator’s size is used, and measured too', async () => {
  const ran = new Set<number>();
  const plan = await planOf(async (samples) => {
    ran.add(samples);
    return samples;
  }, 6);
  assert.deepEqual([plan.bestSamples, plan.maxSamples, plan.maxPaddedTokens], [6, 6, undefined]);
  assert.deepEqual([...ran], [1, 2, 4, 6]);
});

test('the cost line fits the measurements', () => {
  const plan = new BatchPlan(
    [1, 2, 4, 8].map((samples) => ({ samples, tokens: samples * TOKENS, ms: 3 + samples * TOKENS * 0.25 })),
  );
  assert.ok(Math.abs(plan.msPerPaddedToken - 0.25) < 1e-9 && Math.abs(plan.msPerRun - 3) < 1e-9);
  assert.ok(Math.abs(plan.predict(100, 2) - (25 + 6)) < 1e-9);
});

test('a disturbed measurement does not change the line', () => {
  const times = [1.3, 2.1, 3.9, 7.3, 16.9, 374];
  const { msPerPaddedToken: slopeMs, msPerRun: baseMs } = new BatchPlan(
    times.map((ms, index) => ({ samples: 2 ** index, tokens: 2 ** index, ms })),
  );
  assert.ok(slopeMs > 0.7 && slopeMs < 1.3 && baseMs < 1, `${slopeMs} ${baseMs}`);
});

test('slope and base are never negative', () => {
  const measured = fc.array(fc.double({ min: 0.01, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(measured, (times) => {
      const measurements = times.map((ms, index) => ({
        samples: 2 ** index,
        tokens: TOKENS * 2 ** index,
        ms,
      }));
      const { msPerPaddedToken: slopeMs, msPerRun: baseMs } = new BatchPlan(measurements);
      assert.ok(slopeMs >= 0 && baseMs >= -1e-9 && Number.isFinite(slopeMs + baseMs));
    }),
  );
});

test('the pace follows the runs in both directions, and a single run changes it little', () => {
  const cost = new BatchPlan([1, 2].map((samples) => ({ samples, tokens: samples, ms: samples + 10 })));
  cost.learn(10, 20_000);
  assert.ok(cost.predict(10) < 1.5 * 20);
  for (const factor of [5, 0.2]) {
    for (let run = 0; run < 100; run += 1) cost.learn(10, 20 * factor);
    assert.ok(Math.abs(cost.predict(10) - 20 * factor) < factor, String(cost.predict(10)));
  }
});
