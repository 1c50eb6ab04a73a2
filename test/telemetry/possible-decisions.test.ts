/** Whatever a policy may lead to has been at zero before it is counted: no first increase is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decide } from '../../src/decision/decide.js';
import { policySchema } from '../../src/decision/policy.js';
import { outcomesOf } from '../../src/telemetry/decision-outcomes.js';
import { calibration, EVERY_RULE } from '../support/policies.js';

const OPTIONS = [
  {},
  { mode: 'shadow' },
  { min_keep: 3 },
  { explore: { rate: 0.5 } },
  { min_keep: 3, explore: {} },
];

for (const rule of EVERY_RULE) {
  test(`the outcomes of ${JSON.stringify(rule)} are those that are expected`, () => {
    for (const option of OPTIONS) {
      const policy = policySchema.parse({ ...rule, ...option });
      const known = new Set(outcomesOf(policy).map((outcome) => JSON.stringify(outcome)));
      for (const present of [calibration, undefined]) {
        for (const step of [5, 10]) {
          const samples = { scores: [0.1, 0.9, 0.2, 0.4, 0.15], step, calibration: present };
          for (const lot of [0, 1]) {
            for (const { decision, reason, override } of decide(policy, samples, (_, rate) => lot < rate)) {
              const outcome = JSON.stringify({ decision, reason, override: override ?? 'none' });
              assert.ok(known.has(outcome), `${outcome} of ${JSON.stringify(policy)}`);
            }
          }
        }
      }
    }
  });
}
