/**
 * The table of errors: every way in which a request can fail, with its HTTP status and its title.
 * The API answers a ProblemError with an RFC 9457 problem document.
 */

import { cut } from './disclosure.js';

interface ErrorKind {
  readonly status: number;
  readonly title: string;
}

export const ERRORS = {
  // The request itself.
  malformed_request: { status: 400, title: 'The request could not be read' },
  malformed_body: { status: 400, title: 'The body does not follow its format' },
  invalid_header: { status: 400, title: 'A header has an invalid value' },
  unauthorized: { status: 401, title: 'An API key is required' },
  not_found: { status: 404, title: 'There is nothing at this address' },
  method_not_allowed: { status: 405, title: 'This address does not take that method' },
  request_timeout: { status: 408, title: 'The request did not arrive in time' },
  length_required: { status: 411, title: 'The Content-Length header is required' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'This media type is not supported' },
  expectation_failed: { status: 417, title: 'The expectation is unknown' },
  headers_too_large: { status: 431, title: 'The headers are too large' },

  // The probe that was asked for.
  model_not_found: { status: 404, title: 'There is no such probe' },

  // The contract between a request and the probe.
  unknown_tensor: { status: 422, title: 'The probe does not take this tensor' },
  missing_tensor: { status: 422, title: 'A tensor that the probe needs is missing' },
  wrong_dtype: { status: 422, title: 'A tensor has the wrong element type' },
  wrong_shape: { status: 422, title: 'A tensor has the wrong shape' },
  empty_batch: { status: 422, title: 'The request holds no sample' },
  too_many_samples: { status: 422, title: 'The request holds too many samples' },
  foreign_capture: {
    status: 422,
    title: 'The attention was captured differently from what the probe was trained on',
  },
  not_a_decision_point: { status: 422, title: 'The timestep is at none of the probe’s decision points' },
  mixed_decision_points: { status: 422, title: 'The samples of a request must all be at one decision point' },
  step_mismatch: { status: 422, title: 'The step does not belong to the timestep' },
  invalid_metadata: { status: 422, title: 'A metadata field has an invalid value' },
  invalid_policy: { status: 422, title: 'The policy is not valid' },
  invalid_feedback: { status: 422, title: 'The feedback does not follow its schema' },
  policy_override_forbidden: { status: 422, title: 'This service does not let a request choose its policy' },
  attention_not_finite: { status: 422, title: 'The attention holds a value that is not finite' },
  attention_out_of_range: { status: 422, title: 'An attention probability lies outside [0, 1]' },
  attention_mass: { status: 422, title: 'The attention of one position sums to more than one' },
  invalid_token_mask: { status: 422, title: 'The token mask holds a value other than 0 and 1' },
  value_not_finite: { status: 422, title: 'A tensor holds a value that is not finite' },
  invalid_value: { status: 422, title: 'A tensor holds a value that the probe does not accept' },

  // The service itself. /score answers these with `failed_open` when the caller gave a deadline.
  internal: { status: 500, title: 'The service failed' },
  tenant_limit: { status: 429, title: 'The caller’s share of the queue is used up while others wait' },
  overloaded: { status: 503, title: 'The queue is full' },
  unready: { status: 503, title: 'The service is not ready' },
  deadline: { status: 503, title: 'The deadline passed before there was an answer' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** The failures that mean "keep every sample" when the caller gave a deadline. */
export const FAIL_OPEN_REASONS = [
  'deadline',
  'overloaded',
  'tenant_limit',
  'unready',
  'internal',
] as const satisfies ErrorCode[];

export type FailOpenReason = (typeof FAIL_OPEN_REASONS)[number];

export function isFailOpenReason(code: ErrorCode): code is FailOpenReason {
  return (FAIL_OPEN_REASONS as readonly ErrorCode[]).includes(code);
}

/** Too many requests, and unavailable: another try may succeed. */
export const RETRY_STATUSES: ReadonlySet<number> = new Set([429, 503]);
const RETRY_AFTER_SECONDS = 1;

/** The optional members of a problem. */
export interface ProblemExtra {
  /** The tensor, metadata field, header or parameter at fault. A longer text than 100 characters is cut. */
  readonly field?: string;
  /** A longer text than 100 characters is cut. */
  readonly received?: unknown;
  readonly expected?: unknown;
  /** The original error. The log shows where it was thrown, but not its message. */
  readonly cause?: unknown;
}

/**
 * A failure with a code of the table. Everything except `cause` may be shown to the caller. The detail of one that is a
 * FailOpenReason is in the log too, so it holds nothing of a request. Only `internal` has a stack trace. See
 * docs/adr/0007-cheap-refusals.md.
 */
export class ProblemError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly field?: string;
  readonly received?: unknown;
  readonly expected?: unknown;
  /** Time after which another try may succeed; set for errors with status 429 or 503. */
  readonly retryAfterSeconds?: number;

  constructor(code: ErrorCode, detail: string, extra: ProblemExtra = {}) {
    const { stackTraceLimit } = Error;
    if (code !== 'internal') Error.stackTraceLimit = 0;
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'ProblemError';
    this.code = code;
    this.status = ERRORS[code].status;
    this.title = ERRORS[code].title;
    this.detail = detail;
    if (extra.field !== undefined) this.field = cut(extra.field);
    const { received } = extra;
    if (received !== undefined) this.received = typeof received === 'string' ? cut(received) : received;
    if (extra.expected !== undefined) this.expected = extra.expected;
    if (RETRY_STATUSES.has(this.status)) this.retryAfterSeconds = RETRY_AFTER_SECONDS;
  }
}

/** Creates the error to throw: `throw problem('wrong_shape', 'attention has 3 layers', {field: 'attention', ...})`. */
export function problem(code: ErrorCode, detail: string, extra?: ProblemExtra): ProblemError {
  return new ProblemError(code, detail, extra);
}

/**
 * The service cannot start, and its operator can change that. The message is a sentence that says what to do, so the log shows
 * no stack trace.
 */
export class StartError extends Error {}

/** The message of anything that can be thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
