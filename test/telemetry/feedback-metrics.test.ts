/** The sums of feedback: weighted correlation and false-drop rate can be computed from them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Registry } from 'prom-client';

import type { AcceptedFeedback } from '../../src/feedback/intake.js';
import type { Policies } from '../../src/config/policies.js';
import { createFeedbackMetrics } from '../../src/telemetry/feedback-metrics.js';
import { receiptOf } from '../support/receipt.js';

interface Changes extends Partial<Omit<AcceptedFeedback, 'receipt'>> {
  readonly receipt?: Partial<AcceptedFeedback['receipt']>;
}

/** A kept sample of a metric from -1 to 3, good from 1: mapped to [0, 1], its score is 0.5 and its quality 0.75. */
function feedback({ receipt = {}, ...rest }: Changes = {}): AcceptedFeedback {
  return {
    quality: 2,
    weight: 1,
    delaySeconds: 3,
    ...rest,
    receipt: receiptOf({ score: 1, goodAt: 1, range: [-1, 3], ...receipt }),
  };
}

function subject() {
  const registry = new Registry();
  const metrics = createFeedbackMetrics(registry);
  /** The sum of a metric over its lines that contain all the texts. */
  const value = async (name: string, ...texts: string[]): Promise<number> => {
    const lines = (await registry.getSingleMetricAsString(`diffusion_probe_feedback_${name}`)).split('\n');
    const found = lines.filter((line) => !line.startsWith('#') && texts.every((text) => line.includes(text)));
    return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  return { ...metrics, registry, value };
}

test('every sum is of the weight times its powers of score and quality, mapped to [0, 1]', async () => {
  const { observer, value } = subject();
  observer.onAccepted(feedback({ weight: 4 }));
  observer.onAccepted(feedback({ weight: 2, quality: 0, receipt: { score: -1 } }));
  const sums = {
    weight_total: 6,
    weight_squared_total: 20,
    score_total: 4 * 0.5,
    quality_total: 4 * 0.75 + 2 * 0.25,
    score_squared_total: 4 * 0.25,
    quality_squared_total: 4 * 0.5625 + 2 * 0.0625,
    score_quality_total: 4 * 0.375,
  };
  for (const [name, expected] of Object.entries(sums)) assert.equal(await value(name), expected, name);
});

test('the verdict and the truth are labels of the sums', async () => {
  const { observer, value } = subject();
  const explored = { wouldDrop: true, override: 'explore' } as const;
  observer.onAccepted(feedback({ weight: 50, receipt: explored }));
  observer.onAccepted(feedback({ quality: 0.9 }));
  observer.onAccepted(feedback({ quality: 1 }));
  assert.equal(await value('weight_total', 'verdict="drop"', 'good="true"'), 50);
  assert.equal(await value('weight_total', 'verdict="keep"', 'good="false"'), 1);
  assert.equal(await value('weight_total', 'verdict="keep"', 'good="true"'), 1);
  assert.equal(await value('samples_total', 'arm="explored"'), 1);
  assert.equal(await value('delay_seconds', '_sum', 'arm="kept"'), 6);
});

test('a value outside the range is replaced by its end and counted', async () => {
  const { observer, value } = subject();
  observer.onAccepted(feedback({ quality: 99, receipt: { score: -7 } }));
  assert.equal(await value('quality_total'), 1);
  assert.equal(await value('score_total'), 0);
  assert.equal(await value('clipped_total', 'value="quality"'), 1);
  assert.equal(await value('clipped_total', 'value="score"'), 1);
});

test('a sample without a weight is in no sum but is counted', async () => {
  const { observer, value } = subject();
  observer.onAccepted(feedback({ weight: undefined }));
  assert.equal(await value('weight_total'), 0);
  assert.equal(await value('unweighted_total'), 1);
  assert.equal(await value('samples_total'), 1);
});

test('the label sets of a policy at a decision point start at zero', async () => {
  const metrics = subject();
  metrics.startAtZero({
    model: 'tiny',
    version: 1,
    step: 5,
    policy: { name: 'max_false_drop', alphas: { 5: 0.03 } },
  });
  const text = await metrics.registry.metrics();
  for (const line of [
    'feedback_weight_total{model="tiny",version="1",step="5",policy="max_false_drop",alpha="0.03",verdict="drop",good="true"} 0',
    'feedback_samples_total{model="tiny",version="1",step="5",arm="explored"} 0',
    'feedback_delay_seconds_count{model="tiny",version="1",arm="explored"} 0',
    'policy_alpha{model="tiny",version="1",step="5",policy="max_false_drop",alpha="0.03"} 0.03',
  ])
    assert.ok(text.includes(`diffusion_probe_${line}\n`), line);
});

test('the number of series stays bounded when requests give many alphas', async () => {
  const { observer, value, registry } = subject();
  for (let index = 1; index <= 500; index += 1)
    observer.onAccepted(feedback({ receipt: { alpha: index / 1000 } }));
  assert.equal(await value('weight_total'), 500);
  const text = await registry.getSingleMetricAsString('diffusion_probe_feedback_weight_total');
  assert.equal(new Set([...text.matchAll(/alpha="([^"]*)"/g)].map(([, alpha]) => alpha)).size, 33);
  assert.equal(await value('weight_total', 'alpha="other"'), 500 - 32);
});

test("the operator's alphas keep their labels when requests have given many, also after a change of the policies", async () => {
  const { observer, value, startAtZero, watchPolicies, registry } = subject();
  const rule = (alpha: number) => ({
    policy: { name: 'max_false_drop', alpha } as const,
    allow_override: true,
  });
  let policies: Policies = { default: rule(0.07), models: { other: rule(0.11) } };
  watchPolicies(() => policies);
  const feedbackAt = (alpha: number) => observer.onAccepted(feedback({ receipt: { alpha } }));
  for (let index = 1; index <= 40; index += 1) feedbackAt((200 + index) / 1000);
  for (const alpha of [0.07, 0.11]) feedbackAt(alpha);
  policies = { default: rule(0.13), models: {} };
  for (const alpha of [0.13, 0.07]) feedbackAt(alpha);
  startAtZero({ model: 'tiny', version: 1, step: 5, policy: policies.default?.policy ?? assert.fail() });
  assert.equal(await value('weight_total', 'alpha="0.07"'), 2);
  assert.equal(await value('weight_total', 'alpha="0.11"'), 1);
  assert.equal(await value('weight_total', 'alpha="0.13"'), 1);
  assert.equal(await value('weight_total', 'alpha="other"'), 40 - 32);
  assert.match(await registry.metrics(), /policy_alpha\{[^}]*alpha="0.13"\} 0\.13/);
});
