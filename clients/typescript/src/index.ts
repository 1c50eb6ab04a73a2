/** `@diffusion-probe/client`: on `fetch`, for Node, Bun, other runtimes, bundlers and browsers. */
import { type Fetch, httpByFetch } from './fetch-http.js';
import { checkOrigin, type ClientOptions } from './options.js';
import { ServiceClient } from './probe-client.js';

export type { Decision, FeedbackAnswer, Model, Problem, SampleResult } from './answer.js';
export type { Conditions } from './conditions.js';
export { InvalidInputError, RefusedError } from './errors.js';
export type { FeedbackItem } from './feedback.js';
export type { ScoredGroup, ScoreFailure, ScoreOutcome, UnscoredGroup } from './outcome.js';
export type { Policy } from './policy.js';
export type { CallOptions, ScoreCallOptions } from './probe-client.js';
export type { ScoreInput, ScoreRequestOptions } from './request.js';
export type { Dtype, TensorData } from './safetensors.js';

export interface ProbeClientOptions extends ClientOptions {
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch;
}

/**
 * Calls one service.
 *
 *     const client = new ProbeClient('http://127.0.0.1:8080');
 *     const { decisions } = await client.score({ attention, timestep: 778.7 }, { deadlineMs: 50 });
 */
export class ProbeClient extends ServiceClient {
  /**
   * @param origin http://host:port or https://host:port, with the path of the service behind a gateway if it has one.
   * @throws {InvalidInputError}
   */
  constructor(origin: string | URL, options: ProbeClientOptions = {}) {
    const { fetch = (url, init) => globalThis.fetch(url, init) } = options;
    super(httpByFetch(checkOrigin(origin), fetch), options);
  }
}
