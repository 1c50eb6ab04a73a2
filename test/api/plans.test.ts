/** Plans of a probe over HTTP: /models lists them, and /score executes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Scored } from '../../src/api/score-schemas.js';
import type { ServedProbe } from '../../src/engine/types.js';
import { fakeEngine, operatorFiles, startApp, testManifest } from '../support/app.js';
import { PLANS } from '../support/policies.js';
import { TINY_SIZE } from '../support/probe-folder.js';
import { randomSamples, scoreBody } from '../support/samples.js';

const manifest = { ...testManifest(), plans: [...PLANS] };
const PROBE: ServedProbe = { ...fakeEngine().resolve('tiny'), manifest };
const engine = () =>
  fakeEngine({
    probes: () => [{ name: 'tiny', version: 1, state: 'serving', probe: PROBE }],
    resolve: () => PROBE,
  });
const request = (policy?: object) => ({
  method: 'POST' as const,
  url: '/score',
  headers: {
    'content-type': 'application/octet-stream',
    ...(policy && { 'x-policy': JSON.stringify(policy) }),
  },
  payload: Buffer.from(scoreBody(randomSamples(TINY_SIZE, 3, 5))),
});

test('GET /models lists the plans of a probe with what they expect', async (t) => {
  const { app } = await startApp(t, engine());
  const { models } = (await app.inject('/models')).json<{ models: { contract: { plans: unknown } }[] }>();
  assert.deepEqual(models[0]?.contract.plans, PLANS);
});

test('POST /score keeps as many samples as the plan for the budget says', async (t) => {
  const { app } = await startApp(t, engine());
  const policy = { name: 'plan', budget: 2, explore: { rate: 0 } };
  const answer = (await app.inject(request(policy))).json<Scored>();
  assert.deepEqual(answer.policy, policy);
  assert.deepEqual(
    answer.results.map(({ decision, reason }) => [decision, reason]),
    [
      ['keep', 'in_plan'],
      ['keep', 'in_plan'],
      ['drop', 'not_in_plan'],
      ['drop', 'not_in_plan'],
      ['drop', 'not_in_plan'],
    ],
  );
});

test('a budget without a plan is refused with the budgets there are', async (t) => {
  const { app } = await startApp(t, engine());
  const response = await app.inject(request({ name: 'plan', budget: 3 }));
  assert.equal(response.statusCode, 422);
  const { code, field, received, expected } = response.json<Record<string, unknown>>();
  assert.deepEqual([code, field, received, expected], ['invalid_policy', 'policy.budget', 3, [2]]);
});

test('a budget without a plan in the policies file drops nothing and fails no request', async (t) => {
  const rule = { policy: { name: 'plan', budget: 3 }, allow_override: true } as const;
  const files = operatorFiles({ policies: () => ({ default: rule, models: {} }) });
  const { app } = await startApp(t, engine(), { operatorFiles: files });
  const { results } = (await app.inject(request())).json<Scored>();
  assert.equal(results.length, 5);
  for (const { decision, reason } of results) assert.deepEqual([decision, reason], ['keep', 'uncalibrated']);
});
