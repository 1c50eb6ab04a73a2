/** Sends requests with a deadline, retries and a circuit breaker. A failure is a return value, not an exception. */
import { parseJson, readProblem } from './answer.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { RefusedError } from './errors.js';
import { type Http, type HttpResponse, NoResponseError } from './http.js';
import type { ScoreFailure } from './outcome.js';

/** The share of the time left that is reserved for the answer's way back; the service gets the rest. */
const RETURN_SHARE = 0.05;
const FIRST_BACKOFF_MS = 10;
const HTTP_OK = 200;
const SERVER_ERROR = 500;
const TOO_MANY_REQUESTS = 429;
const SERVICE_UNAVAILABLE = 503;

export interface ServiceRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** It may be sent again when it is unknown whether the service received it. */
  readonly isIdempotent: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
}

export interface TransportOptions {
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly breaker: CircuitBreaker;
  /** How often a request is sent again at most. */
  readonly retries: number;
}

/** When a call must end, and what ends its requests. */
interface Limit {
  /** On the clock of performance.now(), ms. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** The answer or the failure, and whether it is a fault of the service or the network. */
type Outcome<Answer> = readonly [Answer | ScoreFailure, isFault: boolean];

const TIMEOUT = new Error('there was no answer within the deadline');

export class Transport {
  readonly #http: Http;
  readonly #options: TransportOptions;

  constructor(http: Http, options: TransportOptions) {
    this.#http = http;
    this.#options = options;
  }

  /**
   * The answer that `read` makes of the body of a 200, or why there is none, within `deadlineMs`.
   * @param read returns undefined for a body that is none of the service's.
   * @throws the reason of `cancel` when it aborts.
   */
  async send<Answer>(
    request: ServiceRequest,
    deadlineMs: number,
    read: (text: string) => Answer | ScoreFailure | undefined,
    cancel?: AbortSignal,
  ): Promise<Answer | ScoreFailure> {
    const { breaker } = this.#options;
    cancel?.throwIfAborted();
    if (!breaker.allowRequest()) return { reason: 'circuit_open' };
    const [answer, isFault] = await this.#answer(request, deadlineMs, read, cancel);
    if (cancel?.aborted) {
      breaker.recordCancellation();
      throw cancel.reason;
    }
    if (isFault) breaker.recordFault();
    else breaker.recordAnswer();
    return answer;
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  async #answer<Answer>(
    request: ServiceRequest,
    deadlineMs: number,
    read: (text: string) => Answer | ScoreFailure | undefined,
    cancel: AbortSignal | undefined,
  ): Promise<Outcome<Answer>> {
    let response: HttpResponse;
    try {
      response = await within(deadlineMs, cancel, (limit) => this.#sendWithRetries(request, limit));
    } catch (error) {
      return [{ reason: error === TIMEOUT ? 'timeout' : 'network', error: error as Error }, true];
    }
    if (response.status !== HTTP_OK) return refused(response);
    const answer = read(response.text);
    if (answer !== undefined) return [answer, false];
    const error = new Error('the answer is not one of a Diffusion Probe service');
    return [{ reason: 'malformed_answer', error }, true];
  }

  /** Sends a request, and again where that is safe and the deadline allows it. */
  async #sendWithRetries(request: ServiceRequest, limit: Limit): Promise<HttpResponse> {
    for (let attempt = 0; ; attempt += 1) {
      const isLast = attempt >= this.#options.retries;
      let pauseMs = FIRST_BACKOFF_MS * 2 ** attempt * (0.5 + Math.random());
      try {
        const response = await this.#sendOnce(request, limit);
        const retryAfterMs = retryAfter(response);
        if (isLast || retryAfterMs === undefined || retryAfterMs >= leftMs(limit)) return response;
        pauseMs = Math.max(pauseMs, retryAfterMs);
      } catch (error) {
        const isSafe = error instanceof NoResponseError && (!error.isSent || request.isIdempotent);
        if (isLast || !isSafe || pauseMs >= leftMs(limit)) throw error;
      }
      await pause(pauseMs, limit.signal);
    }
  }

  #sendOnce({ method, path, body, headers }: ServiceRequest, limit: Limit): Promise<HttpResponse> {
    const deadline = (Math.max(0, leftMs(limit)) * (1 - RETURN_SHARE)).toFixed(3);
    const all = { ...this.#options.headers, ...headers, 'x-deadline-ms': deadline };
    return this.#http.send({ method, path, headers: all, body, signal: limit.signal });
  }
}

/**
 * Runs `work` within a time. The result does not wait for `work` to notice the end.
 * @throws {Error} TIMEOUT at the end of the time, and the reason of `cancel`.
 */
async function within<Result>(
  deadlineMs: number,
  cancel: AbortSignal | undefined,
  work: (limit: Limit) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const { signal } = controller;
  const limit = { deadline: performance.now() + deadlineMs, signal };
  const onCancel = (): void => controller.abort(cancel?.reason);
  const ended = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const timer = setTimeout(() => controller.abort(TIMEOUT), deadlineMs);
  cancel?.addEventListener('abort', onCancel, { once: true });
  try {
    return await Promise.race([work(limit), ended]);
  } catch (error) {
    // fetch of Node 20 keeps a response that broke off until its signal aborts.
    controller.abort(error);
    throw error;
  } finally {
    clearTimeout(timer);
    cancel?.removeEventListener('abort', onCancel);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}

function leftMs({ deadline }: Limit): number {
  return deadline - performance.now();
}

/** ms; undefined for other statuses than 429 and 503, and for a date: the service sends seconds. */
function retryAfter({ status, retryAfter: text }: HttpResponse): number | undefined {
  const canBeRepeated = status === TOO_MANY_REQUESTS || status === SERVICE_UNAVAILABLE;
  return canBeRepeated && text !== undefined && /^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : undefined;
}

/** A 503 is an overload, which the breaker does not count. */
function refused({ status, text, location }: HttpResponse): Outcome<never> {
  const problem = readProblem(parseJson(text));
  const error = new RefusedError(status, problem, location);
  const isFault = status >= SERVER_ERROR && status !== SERVICE_UNAVAILABLE;
  return [{ reason: 'refused', error, ...(problem && { problem }) }, isFault];
}
