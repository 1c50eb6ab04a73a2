/** Finds the decision point of a request by its samples' timesteps. A step that the request states must agree with it. */
import { problem } from '../errors.js';
import type { DecisionPoint, Manifest } from './manifest.js';

/** Where a request says that it is in the sampler. */
export interface ClaimedPlace {
  readonly step?: number | undefined;
  readonly totalSteps?: number | undefined;
}

/**
 * Finds the one decision point that all samples are at.
 * @param timesteps one per sample, in the backbone's own numbers; at least one.
 * @throws {ProblemError} `not_a_decision_point`, `mixed_decision_points` or `step_mismatch`.
 */
export function locateRequest(
  manifest: Manifest,
  timesteps: readonly number[],
  claimed: ClaimedPlace,
): DecisionPoint {
  const [point, ...others] = timesteps.map((timestep) => locate(manifest.decision_points, timestep));
  if (!point) throw new RangeError('a request without samples has no decision point');
  const other = others.find((candidate) => candidate.step !== point.step);
  if (other) {
    throw problem(
      'mixed_decision_points',
      `The samples are at different steps: ${point.step} and ${other.step}.`,
      { field: 'timestep', received: timesteps, expected: 'timesteps of one decision point' },
    );
  }
  checkClaim('step', claimed.step, point.step);
  checkClaim('total_steps', claimed.totalSteps, manifest.total_steps);
  return point;
}

function locate(points: readonly DecisionPoint[], timestep: number): DecisionPoint {
  const point = points.find((candidate) => Math.abs(timestep - candidate.timestep) <= candidate.tolerance);
  if (point) return point;
  throw problem(
    'not_a_decision_point',
    `The timestep ${timestep} is outside the tolerance of every decision point.`,
    {
      field: 'timestep',
      received: Number.isFinite(timestep) ? timestep : String(timestep),
      expected: points,
    },
  );
}

function checkClaim(field: string, claimed: number | undefined, actual: number): void {
  if (claimed === undefined || claimed === actual) return;
  throw problem('step_mismatch', `The timestep belongs to ${field} ${actual}, not ${claimed}.`, {
    field,
    received: claimed,
    expected: actual,
  });
}
