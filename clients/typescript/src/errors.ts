/** The errors that a call rejects with when the mistake is the caller's. */
import type { Problem } from './answer.js';

const REDIRECTION = 300;
const SERVER_ERROR = 500;
/** Request Timeout, Too Early and Too Many Requests: another time the same request may be answered. */
const NO_MISTAKES: ReadonlySet<number> = new Set([408, 425, 429]);

/** An argument or an option is wrong. Nothing was sent. */
export class InvalidInputError extends TypeError {
  override readonly name = 'InvalidInputError';
  readonly field: string;
  readonly received: string;
  readonly expected: string;

  constructor(field: string, received: string, expected: string) {
    super(`${field} is ${received}: expected ${expected}`);
    this.field = field;
    this.received = received;
    this.expected = expected;
  }
}

/** The answer has another status than 200. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  /** 0 for a redirect in a browser, which does not show its status. */
  readonly status: number;
  /** The service's description; undefined when the answer is not a problem document, such as a proxy's page. */
  readonly problem: Problem | undefined;

  constructor(status: number, problem: Problem | undefined, location?: string) {
    const redirect = location === undefined ? '' : `, a redirect to ${location}`;
    super(problem?.detail ?? `the service answered with status ${status}${redirect}`);
    this.status = status;
    this.problem = problem;
  }

  /** Whether the request or the client's settings are wrong, so that the same request will be refused again. */
  get isMistake(): boolean {
    if (this.status === 0) return true;
    return this.status >= REDIRECTION && this.status < SERVER_ERROR && !NO_MISTAKES.has(this.status);
  }
}

/** Whether a failure is the caller's mistake. */
export function isMistake(error: unknown): error is InvalidInputError | RefusedError {
  return error instanceof InvalidInputError || (error instanceof RefusedError && error.isMistake);
}
