/**
 * Compares the shipped recording rules with the truth: replicas decide on the committed scores of the test captions, and a
 * real Prometheus evaluates the rules on scrapes of /metrics.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Policy } from '../../src/decision/policy.js';
import { uniformNumbers } from '../../demo/world/node/random.js';
import { type CaptionScores, committedScores, shippedManifest } from '../support/test-scores.js';
import { Fleet, type GroundTruth } from './fleet.js';
import { type Prometheus, type Sample, startFilledPrometheus } from './prometheus.js';

const STEP = 5;
const RATE = 0.25;
const ALPHA = 0.1;
const POLICY: Policy = { name: 'max_false_drop', alpha: ALPHA, explore: { rate: RATE } };
const COVERAGE = 0.9;
/** Time of one step of one sample that the rules assume, in s. */
const STEP_SECONDS = 0.05;

const HOUR = 3600;
const DAY = 24 * HOUR;
/** Unix time in s, a multiple of two hours, because Prometheus stores blocks of two hours. */
const START = 1_700_006_400;
const SCRAPE_SECONDS = 600;
const GROUPS_PER_SCRAPE = 16;
/** An estimate may be off by this many standard errors. */
const ERRORS = 4;
const RECORDED_NAME = /\bdiffusion_probe:[a-z0-9_:]+/g;

const [scores, shipped] = await Promise.all([committedScores(), shippedManifest()]);
const { goodAt } = scores;
const captions = scores.at(STEP);
/** Without further signals, which requests would have to hold. */
const manifest = {
  ...shipped,
  inputs: shipped.inputs.filter(({ name }) => ['attention', 'token_mask', 'timestep'].includes(name)),
};

const emptyTruth = (): GroundTruth => ({ scores: [], quality: [], wouldDrop: [], dropped: 0 });
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The share of good samples that the policy would drop, and the standard error of its estimate. */
function falseDrop({ quality, wouldDrop }: GroundTruth) {
  const good = wouldDrop.filter((_, index) => (quality[index] ?? NaN) >= goodAt);
  const lost = good.filter(Boolean).length;
  // A lost sample is weighted with 1/RATE and comes back with probability RATE × COVERAGE.
  const error = Math.sqrt(lost * COVERAGE * (1 / RATE - COVERAGE)) / (good.length * COVERAGE);
  return { rate: lost / good.length, error };
}

function correlation({ scores: ownScores, quality }: GroundTruth): number {
  const deviations = (values: readonly number[]): number[] => {
    const center = mean(values);
    return values.map((value) => value - center);
  };
  const dot = (one: readonly number[], other: readonly number[]): number =>
    one.reduce((sum, value, index) => sum + value * (other[index] ?? NaN), 0);
  const [left, right] = [deviations(ownScores), deviations(quality)];
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right));
}

/** The third of the captions with the lowest mean score, which stands for a change of the prompt mix. */
function hardCaptions(): CaptionScores[] {
  const ordered = captions.toSorted((left, right) => mean(left.scores) - mean(right.scores));
  return ordered.slice(0, Math.ceil(ordered.length / 3));
}

/** Evaluates a recording rule at a moment, Unix time in s. The rules that it reads are evaluated at that moment too. */
async function recorded(prometheus: Prometheus, name: string, time: number): Promise<Sample[]> {
  const rules = new Map((await prometheus.rules()).map((rule) => [rule.name, rule.query]));
  const expand = (rule: string): string =>
    (rules.get(rule) ?? assert.fail(`no rule records ${rule}`)).replaceAll(
      RECORDED_NAME,
      (inner) => `(${expand(inner)})`,
    );
  return prometheus.query(expand(`diffusion_probe:${name}`), time);
}

function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what}: ${actual}, expected ${expected} ± ${tolerance}`,
  );
}

test('the recorded figures agree with the truth about live traffic', async (t) => {
  const random = uniformNumbers('traffic');
  const options = { manifest, step: STEP, policy: POLICY, coverage: COVERAGE, replicas: 2 };
  const fleet = new Fleet(t, options);
  await fleet.start();
  /** Sends traffic from one hour to another and adds to `truth`. */
  const send = async (from: number, to: number, mix: readonly CaptionScores[], truth: GroundTruth) => {
    for (let time = START + from * HOUR; time < START + to * HOUR; time += SCRAPE_SECONDS) {
      for (let group = 0; group < GROUPS_PER_SCRAPE; group += 1)
        await fleet.sendGroup(mix[Math.floor(random() * mix.length)] ?? assert.fail(), truth);
      await fleet.scrape(time + SCRAPE_SECONDS);
    }
  };

  await fleet.scrape(START);
  const calm = emptyTruth();
  const after: { hours: number; expected: ReturnType<typeof falseDrop> }[] = [];
  let from = 0;
  for (const to of [2, 8, 24]) {
    await send(from, to, captions, calm);
    after.push({ hours: to, expected: falseDrop(calm) });
    from = to;
    // The restart loses what the replica counted after the last scrape.
    if (to < 24) {
      await fleet.sendGroup(captions[0] ?? assert.fail(), emptyTruth());
      await fleet.restart(to === 2 ? 0 : 1);
    }
  }
  const drifted = emptyTruth();
  await send(24, 48, hardCaptions(), drifted);

  const prometheus = await startFilledPrometheus(t, fleet.scrapes);
  const at = async (name: string, seconds: number, labels: Record<string, string> = {}): Promise<number> => {
    const found = await recorded(prometheus, name, START + seconds);
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
      assertNear(estimate, expected.rate, ERRORS * expected.error, `after ${hours} h`);
      const upper = await at('live_false_drop_upper', hours * HOUR);
      assert.ok(upper > estimate);
      widths.push(upper - estimate);
      assertNear(await at('false_drop_excess', hours * HOUR), upper - ALPHA, 1e-9, 'excess');
    }
    const { expected } = after.at(-1) ?? assert.fail();
    assert.ok(ERRORS * expected.error < expected.rate / 2, 'there is enough traffic');
    assert.deepEqual(
      widths,
      widths.toSorted((left, right) => right - left),
      'the bound comes closer',
    );
  });

  await t.test('restarts neither lose nor add feedback', async () => {
    const weight = await at('weight:1d', DAY);
    const expected = calm.scores.length * COVERAGE;
    assertNear(weight / expected, 1, 0.05, 'weight of the feedback');
  });

  await t.test('the live correlation is that of all samples, dropped ones included', async () => {
    assertNear(await at('live_correlation', DAY), correlation(calm), 0.05, 'correlation');
    const effective = await at('effective_samples', DAY);
    assert.ok(effective > 0 && effective < calm.scores.length * COVERAGE, String(effective));
  });

  await t.test('coverage and delay are recorded separately for kept and explored samples', async () => {
    for (const arm of ['kept', 'explored']) {
      assertNear(await at('feedback_coverage', DAY, { arm }), COVERAGE, 0.05, `coverage of ${arm}`);
      // Feedback comes at once: the median is the middle of the first bucket, which ends at 1 s.
      assertNear(await at('feedback_delay_seconds:p50', DAY, { arm }), 0.5, 0.01, `delay of ${arm}`);
    }
  });

  await t.test('the compute saved is that of the steps after a drop', async () => {
    const saved = calm.dropped * (manifest.total_steps - STEP) * STEP_SECONDS;
    assertNear((await at('net_seconds_saved:1d', DAY)) / saved, 1, 0.05, 'seconds saved');
    const share = (manifest.total_steps - STEP) / manifest.total_steps;
    assertNear(await at('net_share_saved:1d', DAY), share, 0.05, 'share saved');
  });

  await t.test('after a change of the prompt mix every figure moves to the new truth', async () => {
    const [before, expected] = [falseDrop(calm), falseDrop(drifted)];
    const estimate = await at('live_false_drop', 2 * DAY);
    t.diagnostic(`after the drift: ${estimate.toFixed(4)}, in truth ${expected.rate.toFixed(4)}`);
    assertNear(estimate, expected.rate, ERRORS * expected.error, 'false-drop rate');
    assert.ok(estimate > 1.5 * before.rate, 'hard prompts lose more good samples');
    assert.ok((await at('false_drop_excess', 2 * DAY)) > 0, 'the interval lies above alpha');
    const [calmDrift, drift] = [await at('score_drift', DAY), await at('score_drift', 2 * DAY)];
    t.diagnostic(`score drift: ${calmDrift.toFixed(3)}, then ${drift.toFixed(3)}`);
    assert.ok(drift > 0.25 && drift > 3 * calmDrift, `${calmDrift} ${drift}`);
  });
});

test('at exploration rate 0 no false-drop rate is published', async (t) => {
  const policy: Policy = { ...POLICY, explore: { rate: 0 } };
  const fleet = new Fleet(t, { manifest, step: STEP, policy, coverage: 1, replicas: 1 });
  await fleet.start();
  const truth = emptyTruth();
  await fleet.scrape(START);
  for (const [index, caption] of captions.slice(0, 30).entries()) {
    await fleet.sendGroup(caption, truth);
    await fleet.scrape(START + (index + 1) * SCRAPE_SECONDS);
  }
  assert.ok(truth.dropped > 0);
  const prometheus = await startFilledPrometheus(t, fleet.scrapes);
  for (const name of ['live_false_drop', 'live_false_drop_upper', 'false_drop_excess']) {
    const found = await recorded(prometheus, name, START + 30 * SCRAPE_SECONDS);
    assert.deepEqual(found, [], name);
  }
});
