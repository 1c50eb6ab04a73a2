/** What the calls of the client return. */
import type { Decision, Problem, SampleResult } from './answer.js';
import type { Policy } from './policy.js';

/**
 * Why a call has no answer. The service says `deadline`, `overloaded`, `tenant_limit` (this caller's share of the queue is used
 * up while others wait), `unready`, `internal`; the client adds `timeout`, `network`, `refused` (another status than 200, see
 * `problem`), `malformed_answer`, `invalid_input` (nothing was sent, see `error`), `circuit_open` (the last calls had faults, so
 * this one was not sent), `closed` and `client_failed` (an exception of this client or the runtime, see `error`).
 */
export interface ScoreFailure {
  readonly reason: string;
  /** The problem document of a request that the service refused. */
  readonly problem?: Problem;
  /** An InvalidInputError, a RefusedError, or what the HTTP library threw; undefined for the service's own `failed_open`. */
  readonly error?: Error;
}

export interface ScoredGroup {
  readonly outcome: 'scored';
  readonly model: string;
  readonly version: number;
  readonly provider: string;
  readonly policy: Policy | { readonly name: string };
  /**
   * Whether the images are drawn as those of the probe's calibration: `same`, `foreign`, `unknown` (the next call sends
   * `conditions`), or `unstated`.
   */
  readonly conditions: string;
  /** The differences that the operator does not ignore, as dotted paths. */
  readonly foreignConditions: readonly string[];
  readonly results: readonly SampleResult[];
  /** One per sample, in order. */
  readonly decisions: readonly Decision[];
}

export interface UnscoredGroup extends ScoreFailure {
  readonly outcome: 'failed_open';
  readonly results: readonly [];
  /** `keep` for every sample. */
  readonly decisions: readonly 'keep'[];
}

export type ScoreOutcome = ScoredGroup | UnscoredGroup;
