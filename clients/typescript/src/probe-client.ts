/** The client over any HTTP library: one call scores a group, and a failure of the service keeps every sample. */
import {
  type FeedbackAnswer,
  type Model,
  parseJson,
  readAnswer,
  readFeedbackAnswer,
  readModels,
} from './answer.js';
import { checkFeedback, checkInput, checkMetadata } from './check-input.js';
import { CircuitBreaker } from './circuit-breaker.js';
import { ConditionsSender } from './conditions.js';
import { InvalidInputError, isMistake } from './errors.js';
import { Failures } from './failures.js';
import { encodeFeedback, type FeedbackItem } from './feedback.js';
import type { Http } from './http.js';
import { checkDeadline, checkOptions, type ClientOptions } from './options.js';
import type { ScoredGroup, ScoreFailure, ScoreOutcome } from './outcome.js';
import { countSamples, encodeRequest, type ScoreInput, type ScoreRequestOptions } from './request.js';
import { type ServiceRequest, Transport } from './transport.js';

const BINARY = { 'content-type': 'application/octet-stream' } as const;
const JSON_TYPE = { 'content-type': 'application/json' } as const;

export interface CallOptions {
  /** The longest time from the call to its answer, ms. */
  readonly deadlineMs?: number;
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export type ScoreCallOptions = ScoreRequestOptions & CallOptions;

/** What every entry point's ProbeClient does. */
export class ServiceClient {
  readonly #transport: Transport;
  readonly #deadlineMs: number;
  readonly #isMistakeRaised: boolean;
  readonly #conditions = new ConditionsSender();
  readonly #failures: Failures;
  #isClosed = false;

  /** @throws {InvalidInputError} */
  constructor(http: Http, options: ClientOptions) {
    const { headers, deadlineMs, retries, breakerFailures, breakerSeconds, isMistakeRaised } =
      checkOptions(options);
    const breaker = new CircuitBreaker(breakerFailures, breakerSeconds);
    this.#transport = new Transport(http, { headers, breaker, retries });
    this.#deadlineMs = deadlineMs;
    this.#isMistakeRaised = isMistakeRaised;
    this.#failures = new Failures(options.onProblem);
  }

  /** How many calls had no answer, by reason. */
  get failures(): ReadonlyMap<string, number> {
    return this.#failures.counts;
  }

  /** How many of them had none by the caller's mistake. */
  get mistakes(): number {
    return this.#failures.mistakes;
  }

  /**
   * Scores a group. When there is no answer, and the mistake is not the caller's, the decision is to keep every sample.
   * @throws {InvalidInputError | RefusedError} for a mistake of the caller, unless `onMistake` is `keep`.
   */
  async score(input: ScoreInput, options: ScoreCallOptions = {}): Promise<ScoreOutcome> {
    const answer = await this.#call(options, (deadlineMs) => this.#requestScores(input, options, deadlineMs));
    if ('outcome' in answer) return answer;
    const decisions = Array<'keep'>(countSamples(input)).fill('keep');
    return { ...answer, outcome: 'failed_open', results: [], decisions };
  }

  /**
   * Reports the true qualities of finished images. Send all receipts of one sample in one call.
   * @returns undefined when there is no answer: the feedback may be lost.
   * @throws {InvalidInputError | RefusedError} as `score` does.
   */
  async feedback(
    items: readonly FeedbackItem[],
    options: CallOptions = {},
  ): Promise<FeedbackAnswer | undefined> {
    const answer = await this.#call(options, (deadlineMs) => {
      checkFeedback(items);
      const body = encodeFeedback(items);
      // Not idempotent: another replica would count the receipts twice.
      const request = {
        method: 'POST',
        path: '/feedback',
        isIdempotent: false,
        headers: JSON_TYPE,
        body,
      } as const;
      return this.#send(request, deadlineMs, readFeedbackAnswer, options);
    });
    return 'accepted' in answer ? answer : undefined;
  }

  /**
   * Every version of every probe that the service has.
   * @returns undefined when there is no answer.
   * @throws {InvalidInputError | RefusedError} as `score` does.
   */
  async models(options: CallOptions = {}): Promise<readonly Model[] | undefined> {
    const answer = await this.#call(options, (deadlineMs) =>
      this.#send({ method: 'GET', path: '/models', isIdempotent: true }, deadlineMs, readModels, options),
    );
    return 'reason' in answer ? undefined : answer;
  }

  /** Waits for running calls, then closes the connections. Later calls fail with the reason `closed`. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#transport.close();
  }

  async #requestScores(
    input: ScoreInput,
    options: ScoreCallOptions,
    deadlineMs: number,
  ): Promise<ScoredGroup | ScoreFailure> {
    checkInput(input);
    const samples = countSamples(input);
    checkMetadata(options, samples);
    const stated = await this.#conditions.state(options);
    const body = encodeRequest(input, options, this.#conditions.metadata(stated));
    const request = { method: 'POST', path: '/score', isIdempotent: true, headers: BINARY, body } as const;
    const answer = await this.#send(request, deadlineMs, (json) => readScores(json, samples), options);
    if ('outcome' in answer) this.#conditions.learn(stated, answer.conditions);
    return answer;
  }

  #send<Answer>(
    request: ServiceRequest,
    deadlineMs: number,
    read: (json: unknown) => Answer | ScoreFailure | undefined,
    { signal }: CallOptions,
  ): Promise<Answer | ScoreFailure> {
    return this.#transport.send(request, deadlineMs, (text) => read(parseJson(text)), signal);
  }

  /** Runs a call. Its failure is counted, and raised or reported. */
  async #call<Answer extends object>(
    { deadlineMs, signal }: CallOptions,
    run: (deadlineMs: number) => Promise<Answer | ScoreFailure>,
  ): Promise<Answer | ScoreFailure> {
    let answer: Answer | ScoreFailure;
    try {
      answer = this.#isClosed
        ? { reason: 'closed' }
        : await run(deadlineMs === undefined ? this.#deadlineMs : checkDeadline(deadlineMs));
    } catch (error) {
      if (signal?.aborted) throw error;
      // Anything else, such as a lack of memory, must not cost an image.
      const reason = error instanceof InvalidInputError ? 'invalid_input' : 'client_failed';
      answer = { reason, error: error as Error };
    }
    if (!('reason' in answer)) return answer;
    this.#failures.count(answer);
    if (this.#isMistakeRaised && isMistake(answer.error)) throw answer.error;
    this.#failures.report(answer);
    return answer;
  }
}

function readScores(json: unknown, samples: number): ScoredGroup | ScoreFailure | undefined {
  const answer = readAnswer(json, samples);
  if (answer?.outcome !== 'scored') return answer && { reason: answer.reason };
  return { ...answer, decisions: answer.results.map(({ decision }) => decision) };
}
