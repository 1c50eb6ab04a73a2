/** The client: one call scores a group, and any failure means to keep every sample. */
import { Pool } from 'undici';

import {
  type FeedbackAnswer,
  type Problem,
  readAnswer,
  readFeedbackAnswer,
  readProblem,
  type SampleResult,
} from './answer.js';
import { ConditionsSender } from './conditions.js';
import type { Policy } from './policy.js';
import { countSamples, encodeRequest, type ScoreInput, type ScoreRequestOptions } from './request.js';

const DEFAULT_CONNECTIONS = 16;
const DEFAULT_DEADLINE_MS = 1000;
/** The share of a deadline that is reserved for the answer's way back; the service gets the rest. */
const RETURN_SHARE = 0.05;
const UNIX_SCHEME = 'unix:';
const HTTP_OK = 200;
const BINARY_TYPE = 'application/octet-stream';
const JSON_TYPE = 'application/json';

export interface ProbeClientOptions {
  /** The largest number of open connections; 16 when omitted. */
  readonly connections?: number;
  /** Sent with every call; needed when the service has API keys. */
  readonly apiKey?: string;
  /** The deadline of calls that give none, ms; 1000 when omitted. */
  readonly deadlineMs?: number;
  /** Called with every failure of a call. Exceptions that it throws are ignored. */
  readonly onProblem?: (failure: ScoreFailure) => void;
}

export interface ScoreCallOptions extends ScoreRequestOptions {
  /** The longest time from the call to its answer, ms. */
  readonly deadlineMs?: number;
}

/**
 * Why there is no score. The service says `deadline`, `overloaded`, `tenant_limit` (this caller's share of the queue is used
 * up while others wait), `unready`, `internal`; the client adds `timeout`, `network`, `refused` (see `problem`),
 * `malformed_answer` and `invalid_input` (see `error`).
 */
export interface ScoreFailure {
  readonly reason: string;
  /** The problem document of a request that the service refused. */
  readonly problem?: Problem;
  /** The exception, when the failure is not the service's own `failed_open`. */
  readonly error?: Error;
}

interface Call {
  readonly path: string;
  readonly type: string;
  readonly body: Uint8Array;
  readonly deadlineMs: number;
}

export type Decision = 'keep' | 'drop';

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

/** The outcome of a finished sample. */
export interface FeedbackItem {
  /** The receipt in the sample's result. */
  readonly receipt: string;
  /** The true quality of the finished image, in the units of the probe's metric. */
  readonly quality: number;
}

export type FeedbackOptions = Pick<ScoreCallOptions, 'deadlineMs'>;

/**
 * Calls one service over a pool of connections.
 *
 *     const client = new ProbeClient('http://127.0.0.1:8080');
 *     const { decisions } = await client.score({ attention, timestep: 778.7 }, { deadlineMs: 50 });
 */
export class ProbeClient {
  readonly #pool: Pool;
  readonly #deadlineMs: number;
  readonly #authorization: { readonly authorization?: string };
  readonly #conditions = new ConditionsSender();
  readonly #onProblem: (failure: ScoreFailure) => void;

  /**
   * @param origin scheme, host and port, such as http://127.0.0.1:8080, or a Unix domain socket on the same host, such as
   * unix:/run/diffusion-probe.sock.
   * @throws {TypeError} when `origin` is neither.
   */
  constructor(origin: string, options: ProbeClientOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#authorization = options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` };
    this.#onProblem = options.onProblem ?? (() => {});
    // No pipelining: on a shared connection, an answer waits for the answers of earlier requests.
    const { url, socketPath } = addressOf(origin);
    this.#pool = new Pool(url, {
      connections: options.connections ?? DEFAULT_CONNECTIONS,
      pipelining: 1,
      ...(socketPath !== undefined && { socketPath }),
    });
  }

  /** Scores a group. Never rejects: on any failure the decision is to keep every sample. */
  async score(input: ScoreInput, options: ScoreCallOptions = {}): Promise<ScoreOutcome> {
    const samples = countSamples(input);
    const answer = await this.#requestScores(input, options, samples);
    if ('outcome' in answer) return answer;
    this.#report(answer);
    return { ...answer, outcome: 'failed_open', results: [], decisions: Array<'keep'>(samples).fill('keep') };
  }

  /**
   * Reports the true qualities of finished images. Send all receipts of one sample in one call. Never rejects.
   * @returns undefined when the call failed; `onProblem` gets the failure.
   */
  async feedback(
    items: readonly FeedbackItem[],
    options: FeedbackOptions = {},
  ): Promise<FeedbackAnswer | undefined> {
    const body = Buffer.from(JSON.stringify({ feedback: items }));
    const answer = await this.#exchange(
      { path: '/feedback', type: JSON_TYPE, body, deadlineMs: options.deadlineMs ?? this.#deadlineMs },
      (text) => readFeedbackAnswer(parseJson(text)) ?? malformedAnswer(),
    );
    if ('accepted' in answer) return answer;
    this.#report(answer);
    return undefined;
  }

  /** Waits for running calls, then closes the connections. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  async #requestScores(
    input: ScoreInput,
    options: ScoreCallOptions,
    samples: number,
  ): Promise<ScoredGroup | ScoreFailure> {
    let body: Uint8Array;
    try {
      body = encodeRequest(input, options, this.#conditions.metadata(options));
    } catch (error) {
      return { reason: 'invalid_input', error: error as Error };
    }
    const deadlineMs = options.deadlineMs ?? this.#deadlineMs;
    const answer = await this.#exchange({ path: '/score', type: BINARY_TYPE, body, deadlineMs }, (text) =>
      readScores(text, samples),
    );
    if ('outcome' in answer) this.#conditions.learn(options, answer.conditions);
    return answer;
  }

  /** Sends a call and reads its answer; every exception becomes a failure. */
  async #exchange<Answer>(
    call: Call,
    read: (text: string) => Answer | ScoreFailure,
  ): Promise<Answer | ScoreFailure> {
    const signal = AbortSignal.timeout(Math.max(0, Math.ceil(call.deadlineMs)));
    try {
      const { status, text } = await this.#post(call, signal);
      return status === HTTP_OK ? read(text) : refused(text, status);
    } catch (error) {
      return { reason: signal.aborted ? 'timeout' : 'network', error: error as Error };
    }
  }

  async #post(
    { path, type, body, deadlineMs }: Call,
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }> {
    const response = await this.#pool.request({
      method: 'POST',
      path,
      headers: {
        ...this.#authorization,
        'content-type': type,
        'x-deadline-ms': String(deadlineMs * (1 - RETURN_SHARE)),
      },
      body,
      signal,
    });
    return { status: response.statusCode, text: await response.body.text() };
  }

  #report(failure: ScoreFailure): void {
    try {
      this.#onProblem(failure);
    } catch {
      // An exception of the callback must not cost an image.
    }
  }
}

function addressOf(origin: string): { url: string; socketPath?: string } {
  // HTTP needs a host name, which a Unix domain socket ignores.
  if (origin.startsWith(UNIX_SCHEME))
    return { url: 'http://localhost', socketPath: origin.slice(UNIX_SCHEME.length) };
  return { url: new URL(origin).origin };
}

function readScores(text: string, samples: number): ScoredGroup | ScoreFailure {
  const answer = readAnswer(parseJson(text), samples);
  if (!answer) return malformedAnswer();
  if (answer.outcome === 'failed_open') return { reason: answer.reason };
  return { ...answer, decisions: answer.results.map((result) => result.decision) };
}

function malformedAnswer(): ScoreFailure {
  return {
    reason: 'malformed_answer',
    error: new Error('the answer is not one of a Diffusion Probe service'),
  };
}

function refused(text: string, status: number): ScoreFailure {
  const problem = readProblem(parseJson(text));
  const error = new Error(problem?.detail ?? `the service answered with status ${status}`);
  return { reason: 'refused', error, ...(problem && { problem }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
