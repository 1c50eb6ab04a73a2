/** Tests that the decision point of a request is found, or the request is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ClaimedPlace, locateRequest } from '../../src/probe/decision-point.js';
import { type ErrorCode, ProblemError } from '../../src/errors.js';
import { testManifest } from '../support/app.js';

const manifest = {
  ...testManifest(),
  decision_points: [
    { step: 5, timestep: 778.7, tolerance: 1 },
    { step: 10, timestep: 540, tolerance: 2 },
  ],
};

function refused(timesteps: readonly number[], claimed: ClaimedPlace, code: ErrorCode, field: string): void {
  assert.throws(
    () => locateRequest(manifest, timesteps, claimed),
    (error) => error instanceof ProblemError && error.code === code && error.field === field,
  );
}

test('the decision point is found by the timestep, within the tolerance', () => {
  assert.equal(locateRequest(manifest, [778.7, 777.7, 779.7], {}).step, 5);
  assert.equal(locateRequest(manifest, [Math.fround(778.7)], { step: 5, totalSteps: 25 }).step, 5);
  assert.equal(locateRequest(manifest, [541.9], {}).step, 10);
});

test('refused: a timestep outside every tolerance, or one that is not finite', () => {
  refused([777], {}, 'not_a_decision_point', 'timestep');
  refused([778.7, 100], {}, 'not_a_decision_point', 'timestep');
  refused([NaN], {}, 'not_a_decision_point', 'timestep');
  refused([Infinity], {}, 'not_a_decision_point', 'timestep');
});

test('refused: samples at different points', () =>
  refused([778.7, 540], {}, 'mixed_decision_points', 'timestep'));

test('refused: a step or a number of steps that the timestep does not belong to', () => {
  refused([778.7], { step: 10 }, 'step_mismatch', 'step');
  refused([778.7], { step: 5, totalSteps: 50 }, 'step_mismatch', 'total_steps');
});
