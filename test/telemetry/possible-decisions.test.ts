/** The decisions that start at zero include every decision of every policy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decide } from '../../src/decision/decide.js';
import { policySchema } from '../../src/decision/policy.js';
import { possibleDecisions } from '../../src/telemetry/possible-decisions.js';
import { calibration, EVERY_RULE, PLANS } from '../support/policies.js';

const OPTIONS = [
  {},
  { mode: 'shadow' },
  { min_keep: 3 },
  { explore: { rate: 0.5 } },
  { min_keep: 3, explore: {} },
];

for (const rule of EVERY_RULE) {
  test(`every decision of ${JSON.stringify(rule)} is among the possible ones`, () => {
    for (const option of OPTIONS) {
      const policy = policySchema.parse({ ...rule, ...option });
      const known = new Set(possibleDecisions(policy).map((possible) => JSON.stringify(possible)));
      for (const present of [
        { calibration, plans: PLANS },
        { calibration: undefined, plans: [] },
      ]) {
        for (const step of [5, 10]) {
          const samples = { scores: [0.1, 0.9, 0.2, 0.4, 0.15], step, ...present };
          for (const [draw, isForeign] of [
            [0, false],
            [1, false],
            [1, true],
          ] as const) {
            const decisions = decide(policy, samples, (_, rate) => draw < rate, isForeign);
            for (const { decision, reason, override } of decisions) {
              const outcome = JSON.stringify({ decision, reason, override: override ?? 'none' });
              assert.ok(known.has(outcome), `${outcome} of ${JSON.stringify(policy)}`);
            }
          }
        }
      }
    }
  });
}
