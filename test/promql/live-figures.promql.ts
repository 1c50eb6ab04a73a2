/**
 * Owns the proof that what Prometheus makes of the service's metrics is true: real replicas decide on the committed
 * scores of the test captions, and a real Prometheus evaluates the shipped rules on what /metrics said meanwhile.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Policy } from '../../src/decision/policy.js';
import { uniformNumbers } from '../../demo/world/random.js';
import { type CaptionScores, committedScores, shippedManifest } from '../support/test-scores.js';
import { Fleet, type Truth } from './fleet.js';
import { requirePrometheus, startPrometheus } from './prometheus.js';

const STEP = 5;
const RATE = 0.25;
const ALPHA = 0.1;
const POLICY: Policy = { name: 'max_false_drop', alpha: ALPHA, explore: { rate: RATE } };
const COVERAGE = 0.9;
/** The stand-in of the rules for what a step costs, s. */
const STEP_SECONDS = 0.05;

const HOUR = 3600;
const DAY = 24 * HOUR;
/** An even number of two-hour blocks. */
const START = 1_700_006_400;
const SCRAPE_SECONDS = 300;
const GROUPS_PER_SCRAPE = 8;
/** Of the standard error, how much counts as chance. */
const ERRORS = 4;

requirePrometheus();
const [scores, shipped] = await Promise.all([committedScores(), shippedManifest()]);
const { goodAt } = scores;
const captions = scores.at(STEP);
/** Without the further signals that a probe may declare: nothing here looks at them. */
const manifest = {
  ...shipped,
  inputs: shipped.inputs.filter(({ name }) => ['attention', 'token_mask', 'timestep'].includes(name)),
};

const newTruth = (): Truth => ({ scores: [], quality: [], wouldDrop: [], dropped: 0 });
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The share of good samples that the policy would drop, and how far an estimate may be off by chance. */
function falseDrop({ quality, wouldDrop }: Truth) {
  const good = wouldDrop.filter((_, index) => (quality[index] ?? NaN) >= goodAt);
  const lost = good.filter(Boolean).length;
  // Each lost sample counts 1/RATE with the chance RATE × COVERAGE, and not at all otherwise.
  const error = Math.sqrt(lost * COVERAGE * (1 / RATE - COVERAGE)) / (good.length * COVERAGE);
  return { rate: lost / good.length, error };
}

function correlation({ scores: left, quality: right }: Truth): number {
  const [leftMean, rightMean] = [mean(left), mean(right)];
  const product = (one: readonly number[], oneMean: number, other: readonly number[], otherMean: number) =>
    mean(one.map((value, index) => (value - oneMean) * ((other[index] ?? NaN) - otherMean)));
  return (
    product(left, leftMean, right, rightMean) /
    Math.sqrt(product(left, leftMean, left, leftMean) * product(right, rightMean, right, rightMean))
  );
}

/** The third of captions that the probe thinks least of: what a change of the prompt mix brings. */
function hardCaptions(): CaptionScores[] {
  const ordered = captions.toSorted((left, right) => mean(left.scores) - mean(right.scores));
  return ordered.slice(0, Math.ceil(ordered.length / 3));
}

function nextTo(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what}: ${actual}, but it is ${expected} ± ${tolerance}`,
  );
}

test('Prometheus finds out the truth about live traffic', async (t) => {
  const random = uniformNumbers('traffic');
  const fleet = await Fleet.start(t, {
    manifest,
    step: STEP,
    policy: POLICY,
    coverage: COVERAGE,
    replicas: 2,
  });
  /** Traffic from one hour to another; the truth of it is added to `truth`. */
  const live = async (fromHour: number, toHour: number, mix: readonly CaptionScores[], truth: Truth) => {
    const end = START + toHour * HOUR;
    for (let time = START + fromHour * HOUR; time < end; time += SCRAPE_SECONDS) {
      for (let group = 0; group < GROUPS_PER_SCRAPE; group += 1)
        await fleet.serve(mix[Math.floor(random() * mix.length)] ?? assert.fail(), truth);
      await fleet.scrape(time + SCRAPE_SECONDS);
    }
  };

  await fleet.scrape(START);
  const calm = newTruth();
  const after: { hours: number; expected: ReturnType<typeof falseDrop> }[] = [];
  for (const [from, to] of [
    [0, 2],
    [2, 8],
    [8, 24],
  ] as const) {
    await live(from, to, captions, calm);
    after.push({ hours: to, expected: falseDrop(calm) });
    // What a replica had counted since the last scrape goes with it.
    if (to < 24) {
      await fleet.serve(captions[0] ?? assert.fail(), newTruth());
      await fleet.restart(to === 2 ? 0 : 1);
    }
  }
  const drifted = newTruth();
  await live(24, 48, hardCaptions(), drifted);

  const prometheus = await startPrometheus(t, fleet.scrapes);
  const at = async (name: string, seconds: number, labels: Record<string, string> = {}): Promise<number> => {
    const found = await prometheus.recorded(`diffusion_probe:${name}`, START + seconds);
    const chosen = found.filter((sample) =>
      Object.entries({ step: String(STEP), ...labels }).every(
        ([label, value]) => (sample.labels[label] ?? value) === value,
      ),
    );
    assert.equal(chosen.length, 1, `${name}: ${JSON.stringify(found)}`);
    return chosen[0]?.value ?? NaN;
  };

  await t.test('the live false-drop rate converges to the true one, over two restarts', async () => {
    const widths: number[] = [];
    for (const { hours, expected } of after) {
      const estimate = await at('live_false_drop', hours * HOUR);
      t.diagnostic(`after ${hours} h: ${estimate.toFixed(4)}, in truth ${expected.rate.toFixed(4)}`);
      nextTo(estimate, expected.rate, ERRORS * expected.error, `after ${hours} h`);
      const upper = await at('live_false_drop_upper', hours * HOUR);
      assert.ok(upper > estimate);
      widths.push(upper - estimate);
      nextTo(await at('false_drop_excess', hours * HOUR), upper - ALPHA, 1e-9, 'excess');
    }
    const { expected } = after.at(-1) ?? assert.fail();
    assert.ok(ERRORS * expected.error < expected.rate / 2, 'there is enough traffic to tell anything');
    assert.deepEqual(
      widths,
      widths.toSorted((left, right) => right - left),
      'the bound closes in',
    );
  });

  await t.test('restarts neither lose nor invent feedback', async () => {
    const weight = await at('weight:1d', DAY);
    const expected = calm.scores.length * COVERAGE;
    nextTo(weight / expected, 1, 0.05, 'weight of what came back');
  });

  await t.test('the live correlation is that of all samples, dropped ones included', async () => {
    nextTo(await at('live_correlation', DAY), correlation(calm), 0.05, 'correlation');
    const effective = await at('effective_samples', DAY);
    assert.ok(effective > 0 && effective < calm.scores.length * COVERAGE, String(effective));
  });

  await t.test('coverage and delay are told for kept and for explored samples apart', async () => {
    for (const arm of ['kept', 'explored']) {
      nextTo(await at('feedback_coverage', DAY, { arm }), COVERAGE, 0.05, `coverage of ${arm}`);
      // The fleet answers at once: the middle of the first bucket, which ends at a second.
      nextTo(await at('feedback_delay_seconds:p50', DAY, { arm }), 0.5, 0.01, `delay of ${arm}`);
    }
  });

  await t.test('the compute saved is what dropped samples did not need', async () => {
    const saved = calm.dropped * (manifest.capture.total_steps - STEP) * STEP_SECONDS;
    nextTo((await at('net_seconds_saved:1d', DAY)) / saved, 1, 0.05, 'seconds saved');
    const share = (manifest.capture.total_steps - STEP) / manifest.capture.total_steps;
    nextTo(await at('net_share_saved:1d', DAY), share, 0.05, 'share saved');
  });

  await t.test('another mix of prompts moves every figure, to the new truth', async () => {
    const [before, expected] = [falseDrop(calm), falseDrop(drifted)];
    const estimate = await at('live_false_drop', 2 * DAY);
    t.diagnostic(`after the drift: ${estimate.toFixed(4)}, in truth ${expected.rate.toFixed(4)}`);
    nextTo(estimate, expected.rate, ERRORS * expected.error, 'false-drop rate');
    assert.ok(estimate > 1.5 * before.rate, 'hard prompts lose more of their good samples');
    assert.ok((await at('false_drop_excess', 2 * DAY)) > 0, 'above alpha beyond doubt');
    const [calmDrift, drift] = [await at('score_drift', DAY), await at('score_drift', 2 * DAY)];
    t.diagnostic(`score drift: ${calmDrift.toFixed(3)}, then ${drift.toFixed(3)}`);
    assert.ok(drift > 0.25 && drift > 3 * calmDrift, `${calmDrift} ${drift}`);
  });
});

test('at exploration rate 0 no false-drop rate is published', async (t) => {
  const policy: Policy = { ...POLICY, explore: { rate: 0 } };
  const fleet = await Fleet.start(t, { manifest, step: STEP, policy, coverage: 1, replicas: 1 });
  const truth = newTruth();
  await fleet.scrape(START);
  for (const [index, caption] of captions.slice(0, 30).entries()) {
    await fleet.serve(caption, truth);
    await fleet.scrape(START + (index + 1) * SCRAPE_SECONDS);
  }
  assert.ok(truth.dropped > 0);
  const prometheus = await startPrometheus(t, fleet.scrapes);
  for (const name of ['live_false_drop', 'live_false_drop_upper', 'false_drop_excess']) {
    const found = await prometheus.recorded(`diffusion_probe:${name}`, START + 30 * SCRAPE_SECONDS);
    assert.deepEqual(found, [], name);
  }
});
