/** Owns which decision point a request stands at: its samples' timesteps decide, a given step must agree. */
import type { DecisionPoint, Manifest } from './manifest.js';
import { problem } from '../errors.js';

/** What a request says about its place in the sampler. */
export interface ClaimedPlace {
  readonly step?: number | undefined;
  readonly totalSteps?: number | undefined;
}

/**
 * Finds the one decision point that all samples stand at.
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
      `The samples stand at step ${point.step} and at step ${other.step}.`,
      {
        field: 'timestep',
        received: timesteps,
        expected: 'timesteps of one decision point',
      },
    );
  }
  checkClaim('step', claimed.step, point.step);
  checkClaim('total_steps', claimed.totalSteps, manifest.capture.total_steps);
  return point;
}

function locate(points: readonly DecisionPoint[], timestep: number): DecisionPoint {
  const point = points.find((candidate) => Math.abs(timestep - candidate.timestep) <= candidate.tolerance);
  if (point) return point;
  throw problem(
    'not_a_decision_point',
    `The timestep ${timestep} lies outside every decision point’s tolerance.`,
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
