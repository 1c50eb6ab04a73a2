/** Owns what is said to the load generator and what it answers. */
import type { Spread } from '../statistics.js';

/** What one request holds: a sample, a group of eight, or a sample of a single token, which costs next to nothing. */
export type Load = 'single' | 'group' | 'one_token';

export const SAMPLES_PER_REQUEST: Readonly<Record<Load, number>> = { single: 1, group: 8, one_token: 1 };

/** Whom requests go to; the two kinds of server take their bodies in different forms. */
export interface Target {
  readonly kind: 'service' | 'peer';
  readonly url: string;
}

interface Order {
  readonly target: Target;
  readonly load: Load;
}

/** Each connection sends its next request when the one before it has been answered. */
export interface ClosedOrder extends Order {
  readonly kind: 'closed';
  readonly connections: number;
  /** Sending ends after this time, s, or after this many requests. */
  readonly until: { readonly seconds: number } | { readonly requests: number };
}

/** Requests are sent when they are due, whatever became of those before. */
export interface OpenOrder extends Order {
  readonly kind: 'open';
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly seed: number;
  /** From the scheduled sending to the answer, ms; requests then say what is left of it when they are sent. */
  readonly deadlineMs?: number;
}

export type LoadOrder = ClosedOrder | OpenOrder;

/** What became of the requests. Each is counted in exactly one of useful, failedOpen, refused, late and lost. */
export interface LoadResult {
  /** From the first sending to the last answer, or the length of the schedule if that is longer. */
  readonly seconds: number;
  readonly sent: number;
  /** Scored, and in time where there was a deadline. */
  readonly useful: number;
  /** Told to keep everything, in time. */
  readonly failedOpen: number;
  /** Answered with another status than 200, in time. */
  readonly refused: number;
  /** Answered after the deadline, whatever the answer was. */
  readonly late: number;
  /** Never answered. */
  readonly lost: number;
  /** Samples scored usefully. */
  readonly samples: number;
  /** Of all useful answers: from the sending, in an open loop from the scheduled sending. */
  readonly latencyMs: Spread;
  /** How far behind the schedule requests were sent; NaN in a closed loop. */
  readonly lagMs: Spread;
  /** The most connections that were open. */
  readonly connections: number;
}

export interface LoadTalk {
  readonly order: LoadOrder;
  readonly answer: LoadResult;
}
