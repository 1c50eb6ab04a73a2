/** Owns the client: one call per group, an answer in time or the permission to go on with everything. */
import { Pool } from 'undici';

import type { Policy } from '../decision/policy.js';
import { type Problem, readAnswer, readProblem, type SampleResult } from './answer.js';
import { countSamples, encodeRequest, type ScoreInput, type ScoreRequestOptions } from './request.js';

const DEFAULT_CONNECTIONS = 16;
const DEFAULT_DEADLINE_MS = 1000;
/** The share of a deadline that is left for the answer's way back; the service gets the rest. */
const RETURN_SHARE = 0.05;
const PATH = '/score';
const HTTP_OK = 200;

export interface ProbeClientOptions {
  /** Connections held open at most; 16 when left out. */
  readonly connections?: number;
  /** For calls that give no deadline, ms; 1000 when left out. */
  readonly deadlineMs?: number;
  /** Told of everything that kept a group from being scored. What it throws is ignored. */
  readonly onProblem?: (failure: ScoreFailure) => void;
}

export interface ScoreCallOptions extends ScoreRequestOptions {
  /** From the call to its answer at most, ms. */
  readonly deadlineMs?: number;
}

/**
 * Why there is no score. The service says `deadline`, `overloaded`, `unready`, `internal`; the client adds `timeout`,
 * `network`, `refused` (see `problem`), `malformed_answer` and `invalid_input` (see `error`).
 */
export interface ScoreFailure {
  readonly reason: string;
  /** What the service said about a request that it refused. */
  readonly problem?: Problem;
  /** What went wrong on the way. */
  readonly error?: Error;
}

export type Decision = 'keep' | 'drop';

export interface ScoredGroup {
  readonly outcome: 'scored';
  readonly model: string;
  readonly version: number;
  readonly provider: string;
  readonly policy: Policy | { readonly name: string };
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

/**
 * Talks to one service over a pool of connections.
 *
 *     const client = new ProbeClient('http://127.0.0.1:8080');
 *     const { decisions } = await client.score({ attention, timestep: 778.7 }, { deadlineMs: 50 });
 */
export class ProbeClient {
  readonly #pool: Pool;
  readonly #deadlineMs: number;
  readonly #onProblem: (failure: ScoreFailure) => void;

  /**
   * @param origin scheme, host and port, such as http://127.0.0.1:8080.
   * @throws {TypeError} when `origin` is no URL.
   */
  constructor(origin: string, options: ProbeClientOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#onProblem = options.onProblem ?? (() => {});
    // One request per connection at a time: pipelined scores would wait for each other.
    this.#pool = new Pool(new URL(origin).origin, {
      connections: options.connections ?? DEFAULT_CONNECTIONS,
      pipelining: 1,
    });
  }

  /** Scores a group. Never rejects: whatever goes wrong, the answer is to keep every sample. */
  async score(input: ScoreInput, options: ScoreCallOptions = {}): Promise<ScoreOutcome> {
    const samples = countSamples(input);
    const answer = await this.#ask(input, options, samples);
    if ('outcome' in answer) return answer;
    this.#tell(answer);
    return { ...answer, outcome: 'failed_open', results: [], decisions: Array<'keep'>(samples).fill('keep') };
  }

  /** Waits for the calls that are under way and closes the connections. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  async #ask(
    input: ScoreInput,
    options: ScoreCallOptions,
    samples: number,
  ): Promise<ScoredGroup | ScoreFailure> {
    let body: Uint8Array;
    try {
      body = encodeRequest(input, options);
    } catch (error) {
      return { reason: 'invalid_input', error: error as Error };
    }
    const deadlineMs = options.deadlineMs ?? this.#deadlineMs;
    const signal = AbortSignal.timeout(Math.max(0, Math.ceil(deadlineMs)));
    try {
      const { status, text } = await this.#post(body, deadlineMs, signal);
      return status === HTTP_OK ? accepted(text, samples) : refused(text, status);
    } catch (error) {
      return { reason: signal.aborted ? 'timeout' : 'network', error: error as Error };
    }
  }

  async #post(
    body: Uint8Array,
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }> {
    const response = await this.#pool.request({
      method: 'POST',
      path: PATH,
      headers: {
        'content-type': 'application/octet-stream',
        'x-deadline-ms': String(deadlineMs * (1 - RETURN_SHARE)),
      },
      body,
      signal,
    });
    return { status: response.statusCode, text: await response.body.text() };
  }

  #tell(failure: ScoreFailure): void {
    try {
      this.#onProblem(failure);
    } catch {
      // A hook that fails must not cost an image either.
    }
  }
}

function accepted(text: string, samples: number): ScoredGroup | ScoreFailure {
  const answer = readAnswer(parseJson(text), samples);
  if (!answer) return { reason: 'malformed_answer', error: new Error('the service’s answer makes no sense') };
  if (answer.outcome === 'failed_open') return { reason: answer.reason };
  return { ...answer, decisions: answer.results.map((result) => result.decision) };
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
