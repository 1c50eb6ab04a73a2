/** The deadline of one request: it ends when the caller's time is up or when the client leaves. */
import type { ServerResponse } from 'node:http';

import type { PredictionMargin } from '../prediction-margin.js';
import { problem } from '../errors.js';

/** The status of a request whose client has left. Never sent: only metrics show it. */
export const CLIENT_CLOSED_REQUEST = 499;
export const MAX_DEADLINE_MS = 3_600_000;
/** At most this share of the caller's time is reserved for late timers. */
const MAX_RESERVED_SHARE = 0.1;

/** The client has left before the answer. */
export class ClientGoneError extends Error {
  readonly status = CLIENT_CLOSED_REQUEST;
}

/**
 * Watches one request. Fail-open answers must arrive in time too, so the timer is set earlier than the caller's deadline, by
 * as much as timers were late recently.
 */
export class RequestDeadline {
  readonly #response: ServerResponse;
  readonly #startedAt: number;
  readonly #timerLateness: PredictionMargin;
  #answerBy: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  /**
   * @param deadlineMs the caller's time from `startedAt`; undefined when it gave no deadline.
   * @param startedAt on the clock of performance.now(), ms.
   * @param timerLateness of the timers of all requests; this one's is added to it.
   */
  constructor(
    response: ServerResponse,
    deadlineMs: number | undefined,
    startedAt: number,
    timerLateness: PredictionMargin,
  ) {
    this.#response = response;
    this.#startedAt = startedAt;
    this.#timerLateness = timerLateness;
    if (deadlineMs !== undefined) this.limit(deadlineMs);
    response.once('close', this.#onClose);
  }

  /** When the answer must be sent, on the clock of performance.now(), ms; undefined when the caller gave no deadline. */
  get answerBy(): number | undefined {
    return this.#answerBy;
  }

  /** Sets the caller's time from the start, which the body may state too, ms. The earlier of two deadlines counts. */
  limit(deadlineMs: number): void {
    const answerBy = this.#startedAt + deadlineMs - reservedMs(deadlineMs, this.#timerLateness);
    if (this.#answerBy !== undefined && this.#answerBy <= answerBy) return;
    clearTimeout(this.#timer);
    this.#answerBy = answerBy;
    this.#timer = startTimer(answerBy, this.#onDeadline, this.#timerLateness);
  }

  /**
   * Aborted when no answer is needed any more; its reason is a `deadline` ProblemError or a ClientGoneError.
   * Created on first use. See docs/adr/0007-cheap-refusals.md.
   */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Stops watching; must be called when the request is answered. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#response.off('close', this.#onClose);
  }

  readonly #onDeadline = (): void =>
    this.#end(problem('deadline', 'The deadline passed before there was an answer.'));

  // request.signal and the 'close' event of request.raw fire as soon as the body was read (fastify/fastify#6725).
  // Only the 'close' event of an unfinished response means that the client has left.
  readonly #onClose = (): void => {
    if (!this.#response.writableFinished) this.#end(new ClientGoneError('the client left before the answer'));
  };

  #end(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}

function reservedMs(deadlineMs: number, { margin }: PredictionMargin): number {
  return Math.min(margin, Math.max(0, deadlineMs) * MAX_RESERVED_SHARE);
}

function startTimer(
  answerBy: number,
  onDeadline: () => void,
  timerLateness: PredictionMargin,
): NodeJS.Timeout | undefined {
  const delayMs = answerBy - performance.now();
  if (delayMs <= 0) {
    onDeadline();
    return undefined;
  }
  return setTimeout(() => {
    timerLateness.learn(performance.now() - answerBy);
    onDeadline();
  }, delayMs);
}

/**
 * Reads the header `x-deadline-ms`: a number of milliseconds. Zero or less is a deadline that has passed.
 * @throws {ProblemError} `invalid_header`
 */
export function readDeadline(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const milliseconds = typeof header === 'string' && header.trim() !== '' ? Number(header) : NaN;
  if (Number.isFinite(milliseconds) && milliseconds <= MAX_DEADLINE_MS) return milliseconds;
  throw problem('invalid_header', 'The deadline is not a number of milliseconds.', {
    field: 'x-deadline-ms',
    received: header,
    expected: `a number of milliseconds up to ${MAX_DEADLINE_MS}`,
  });
}
