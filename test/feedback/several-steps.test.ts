/**
 * Owns the proof that what feedback teaches about one step is not censored by drops at another: samples are judged at two
 * steps, those that are dropped never come back, and yet the weighed sums tell of both steps what is true of all samples.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { scoredAnswer } from '../../src/api/score-answer.js';
import type { Policy } from '../../src/decision/policy.js';
import type { ServedProbe } from '../../src/engine/types.js';
import { FeedbackIntake, type Outcome } from '../../src/feedback/intake.js';
import { KeyRing } from '../../src/feedback/keys.js';
import { uniformNumbers } from '../../demo/world/random.js';
import { testManifest } from '../support/app.js';

const RATE = 0.5;
const STEPS = [5, 10] as const;
const SAMPLES = 12_000;
const ERRORS = 4;
const KEYS = new KeyRing([{ id: 'k', secret: Buffer.alloc(32, 5) }]);
const POLICY: Policy = { name: 'max_false_drop', alphas: { 5: 0.2, 10: 0.2 }, explore: { rate: RATE } };

/** Good scores of 0.01 to 0.99 at both steps: the threshold at an alpha of 0.2 is 0.2. */
function probe(): ServedProbe {
  const manifest = testManifest();
  const [calibration = assert.fail()] = manifest.calibration;
  const good_scores = Array.from({ length: 99 }, (_, index) => (index + 1) / 100);
  return {
    name: 'tiny',
    version: 1,
    provider: 'cpu',
    manifest: {
      ...manifest,
      metric: { name: 'made up', range: [0, 1], good_at: 0.5 },
      calibration: STEPS.map((step) => ({ ...calibration, step, good_scores })),
    },
  };
}

interface Sample {
  readonly id: string;
  readonly scores: Readonly<Record<number, number>>;
  readonly quality: number;
}

/** Scores that agree with each other and with the quality, more or less. */
function madeUp(): Sample[] {
  const random = uniformNumbers('several steps');
  const near = (value: number): number => 0.4 * value + 0.6 * random();
  return Array.from({ length: SAMPLES }, (_, index) => {
    const promise = random();
    return { id: `s${index}`, scores: { 5: near(promise), 10: near(promise) }, quality: near(promise) };
  });
}

/** What comes back of a sample: the receipts of both steps, or nothing. */
function receiptsOf(served: ServedProbe, { id, scores }: Sample) {
  const results = STEPS.map((step) => {
    const group = { group: undefined, sampleIds: [id], scores: [scores[step] ?? NaN] };
    const [result = assert.fail()] = scoredAnswer(
      { ...group, probe: served, policy: POLICY, step },
      KEYS,
    ).results;
    return result;
  });
  return {
    wouldDrop: results.map((result) => result.would_drop),
    receipts: results.every(({ decision }) => decision === 'keep')
      ? results.map(({ receipt }) => receipt)
      : [],
  };
}

test('each step’s false-drop rate is that of all samples, whatever the other step drops', () => {
  const served = probe();
  const outcomes: Outcome[] = [];
  const observer = { accepted: (outcome: Outcome) => outcomes.push(outcome), refused: assert.fail };
  const intake = new FeedbackIntake({ keys: () => KEYS, observer, lifetimeSeconds: 3600, remembered: 1000 });
  const good = madeUp().filter(({ quality }) => quality >= 0.5);
  const lost = STEPS.map(() => 0);
  let uncertain = 0;
  for (const sample of good) {
    const { wouldDrop, receipts } = receiptsOf(served, sample);
    for (const [index, isLost] of wouldDrop.entries()) lost[index] = (lost[index] ?? 0) + Number(isLost);
    uncertain += Number(wouldDrop.some(Boolean));
    intake.take(receipts.map((receipt) => ({ receipt, quality: sample.quality })));
  }
  const tolerance = (ERRORS * Math.sqrt(uncertain * (1 / RATE - 1))) / good.length;
  assert.ok(Math.max(...lost) < uncertain, 'each step drops what the other does not');
  for (const [index, step] of STEPS.entries()) {
    const ofStep = outcomes.filter(({ receipt }) => receipt.step === step);
    const weight = (some: readonly Outcome[]): number =>
      some.reduce((sum, outcome) => sum + (outcome.weight ?? NaN), 0);
    const estimate = weight(ofStep.filter(({ receipt }) => receipt.wouldDrop)) / weight(ofStep);
    const truth = (lost[index] ?? NaN) / good.length;
    assert.ok(tolerance < truth / 2, `${tolerance} is little beside ${truth}`);
    assert.ok(Math.abs(estimate - truth) < tolerance, `step ${step}: ${estimate}, in truth ${truth}`);
  }
});
