/** The requests and responses of the load generator, of the raw runner and of its threads. */
import type { Spread } from './statistics.js';

/** What an HTTP request contains: one sample, a group of eight, or a sample of one token, which costs little. */
export type Load = 'single' | 'group' | 'one_token';

export const SAMPLES_PER_REQUEST: Readonly<Record<Load, number>> = { single: 1, group: 8, one_token: 1 };

/** The server that gets the requests. The kinds take different bodies: `protocol` is the service by the Open Inference Protocol. */
export interface Target {
  readonly kind: 'service' | 'protocol' | 'peer';
  readonly url: string;
}

interface Loop {
  readonly target: Target;
  readonly load: Load;
  /** Sent with each request beside its own. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The address that the connections come from. */
  readonly localAddress?: string;
}

/** Closed loop: each connection sends its next request when it has the answer to the one before. */
export interface ClosedLoop extends Loop {
  readonly kind: 'closed';
  readonly connections: number;
  /** Ends after this time, s, or after this many requests. */
  readonly until: { readonly seconds: number } | { readonly requests: number };
}

/** Open loop: requests are sent when they are due, independently of the answers to earlier ones. */
export interface OpenLoop extends Loop {
  readonly kind: 'open';
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly seed: number;
  /** The longest time from the due time to the answer, ms. Requests carry what is left of it when they are sent. */
  readonly deadlineMs?: number;
  /** When so many requests are open, further ones are not sent. */
  readonly maxOpen?: number;
}

/** The outcome of a loop. Each request counts as exactly one of useful, failedOpen, refused, late and lost. */
export interface LoadResult {
  /** From the start to the last answer, or the length of the schedule if that is longer. */
  readonly seconds: number;
  readonly sent: number;
  /** Scored within the deadline, if there was one. */
  readonly useful: number;
  /** Answered with "keep everything", in time. */
  readonly failedOpen: number;
  /** Answered with another status than 200, in time. */
  readonly refused: number;
  /** Answered after the deadline with any answer. */
  readonly late: number;
  /** Never answered. */
  readonly lost: number;
  /** The samples in useful answers. */
  readonly samples: number;
  /** Of useful answers, from the sending; in an open loop from the due time. */
  readonly latencyMs: Spread;
  /** The stage `inference` in Server-Timing of useful answers; NaN for a peer. */
  readonly inferenceMs: Spread;
  /** How late requests were sent; NaN in a closed loop. */
  readonly lagMs: Spread;
  /** The largest number of open connections. */
  readonly connections: number;
}

export interface LoadCall {
  readonly request: ClosedLoop | OpenLoop;
  readonly response: LoadResult;
}

/** `default`: one session with ONNX Runtime's own options, on all cores. `narrow`: one session of one thread per core. */
export type Layout = 'default' | 'narrow';

export const LAYOUTS: readonly Layout[] = ['default', 'narrow'];

export interface RawRequest {
  readonly kind: 'run';
  readonly layout: Layout;
  /** How many of the layout's sessions run at the same time; all when omitted. */
  readonly sessions?: number;
  readonly batch: number;
  readonly seconds: number;
}

export interface RawResult {
  readonly samplesPerSecond: number;
  readonly samples: number;
  /** The median time of a run, ms. */
  readonly runMs: number;
  /** Of the last run. */
  readonly scores: readonly number[];
}

export interface RawCall {
  /** `scores` is for the scores of all samples. */
  readonly request: RawRequest | { readonly kind: 'scores' };
  readonly response: RawResult;
}

/** From the raw runner to a thread, which answers with a RawResult. */
export type ThreadRequest = Pick<RawRequest, 'batch' | 'seconds'>;

/** The data that a thread is started with. */
export interface ThreadData {
  readonly layout: Layout;
  readonly modelPath: string;
  readonly examplePath: string;
}
