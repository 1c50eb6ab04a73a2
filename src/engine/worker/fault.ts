/** Owns a failure on its way between threads: the plain data that a ProblemError is made of again on the other side. */
import { type ErrorCode, type ProblemError, problem } from '../../errors.js';

/** Survives a structured clone; `received` is never NaN or infinite, so that it survives JSON too. */
export interface Fault {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly field?: string;
  readonly received?: number | string;
  readonly expected?: string;
}

export function problemOf({ code, detail, ...extra }: Fault): ProblemError {
  return problem(code, detail, extra);
}

/** A number as JSON can hold it: "NaN" and "Infinity" by name. */
export function printable(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
