/**
 * Drops at one step do not bias the feedback of another. Samples have decisions at two steps and dropped ones never return,
 * yet the weighted sums of each step estimate the rate over all samples.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { scoredAnswer } from '../../src/api/score-answer.js';
import type { Policy } from '../../src/decision/policy.js';
import type { ServedProbe } from '../../src/engine/types.js';
import { FeedbackIntake, type AcceptedFeedback } from '../../src/feedback/intake.js';
import { KeyRing } from '../../src/feedback/keys.js';
import { uniformNumbers } from '../../demo/world/node/random.js';
import { fakeEngine, testManifest } from '../support/app.js';

const RATE = 0.5;
const STEPS = [5, 10] as const;
const SAMPLES = 12_000;
const ERRORS = 4;
const KEYS = new KeyRing([{ id: 'k', secret: Buffer.alloc(32, 5) }]);
const UNSTATED = { state: 'unstated', foreign: [], members: [], isKept: false } as const;
const POLICY: Policy = {
  name: 'max_false_drop',
  alphas: { 5: 0.2, 10: 0.2 },
  confidence: null,
  explore: { rate: RATE },
};

/** Good scores of 0.01 to 0.99 at both steps: the threshold at an alpha of 0.2 is 0.2. */
function probe(): ServedProbe {
  const manifest = testManifest();
  const [calibration = assert.fail()] = manifest.calibration;
  const good_scores = Array.from({ length: 99 }, (_, index) => (index + 1) / 100);
  return {
    ...fakeEngine().resolve('tiny'),
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

/** Scores that correlate with each other and with the quality. */
function makeSamples(): Sample[] {
  const random = uniformNumbers('several steps');
  const near = (value: number): number => 0.4 * value + 0.6 * random();
  return Array.from({ length: SAMPLES }, (_, index) => {
    const common = random();
    return { id: `s${index}`, scores: { 5: near(common), 10: near(common) }, quality: near(common) };
  });
}

/** The policy's results at both steps, and the receipts that return: none for a dropped sample. */
function receiptsOf(served: ServedProbe, { id, scores }: Sample) {
  const results = STEPS.map((step) => {
    const group = { group: undefined, sampleIds: [id], scores: [scores[step] ?? NaN] };
    const [result = assert.fail()] = scoredAnswer(
      { ...group, probe: served, policy: POLICY, step, conditions: UNSTATED },
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

test('the false-drop rate of each step is that of all samples, although the other step drops too', async () => {
  const served = probe();
  const accepted: AcceptedFeedback[] = [];
  const observer = {
    onAccepted: (feedback: AcceptedFeedback) => accepted.push(feedback),
    onRefused: assert.fail,
  };
  const intake = new FeedbackIntake({ keys: () => KEYS, observer, lifetimeSeconds: 3600, remembered: 1000 });
  const good = makeSamples().filter(({ quality }) => quality >= 0.5);
  const lost = STEPS.map(() => 0);
  let uncertain = 0;
  for (const sample of good) {
    const { wouldDrop, receipts } = receiptsOf(served, sample);
    for (const [index, isLost] of wouldDrop.entries()) lost[index] = (lost[index] ?? 0) + Number(isLost);
    uncertain += Number(wouldDrop.some(Boolean));
    await intake.take(receipts.map((receipt) => ({ receipt, quality: sample.quality })));
  }
  const tolerance = (ERRORS * Math.sqrt(uncertain * (1 / RATE - 1))) / good.length;
  assert.ok(Math.max(...lost) < uncertain, 'each step drops samples that the other keeps');
  for (const [index, step] of STEPS.entries()) {
    const ofStep = accepted.filter(({ receipt }) => receipt.step === step);
    const weight = (some: readonly AcceptedFeedback[]): number =>
      some.reduce((sum, { weight: own }) => sum + (own ?? NaN), 0);
    const estimate = weight(ofStep.filter(({ receipt }) => receipt.wouldDrop)) / weight(ofStep);
    const truth = (lost[index] ?? NaN) / good.length;
    assert.ok(tolerance < truth / 2, `the tolerance ${tolerance} is small beside ${truth}`);
    assert.ok(Math.abs(estimate - truth) < tolerance, `step ${step}: estimated ${estimate}, true ${truth}`);
  }
});
