/** Owns how long a request is worth answering: until its deadline passes or its client leaves. */
import type { ServerResponse } from 'node:http';

import type { PredictionMargin } from '../engine/prediction-margin.js';
import { problem } from '../errors.js';

const CLIENT_CLOSED_REQUEST = 499;
const MAX_DEADLINE_MS = 3_600_000;
/** Of the time until a deadline, what may be kept for timers that come late. */
const LARGEST_RESERVE = 0.1;

/** Nobody is there any more to read an answer. */
export class ClientGoneError extends Error {
  /** Never sent: it only shows in metrics. */
  readonly status = CLIENT_CLOSED_REQUEST;
}

/**
 * A request that is being watched. "Keep everything" must be there in time too, so it is said before the caller's deadline
 * by as much as a busy event loop made such timers late recently.
 */
export class RequestDeadline {
  /** When an answer must go out, on the clock of performance.now(), ms; undefined when the caller waits as long as it takes. */
  readonly deadline: number | undefined;
  readonly #response: ServerResponse;
  readonly #timer: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  /**
   * @param deadlineMs time left from `startedAt` on, or undefined. @param startedAt on the clock of performance.now(), ms.
   * @param lateness of the timers of all requests: learns from this one's.
   */
  constructor(
    response: ServerResponse,
    deadlineMs: number | undefined,
    startedAt: number,
    lateness: PredictionMargin,
  ) {
    this.#response = response;
    if (deadlineMs !== undefined) {
      const expire = (): void => this.#abort(problem('deadline', `No answer within ${deadlineMs} ms.`));
      this.deadline = startedAt + deadlineMs - reserve(deadlineMs, lateness);
      this.#timer = startTimer(this.deadline, expire, lateness);
    }
    response.once('close', this.#onClose);
  }

  /**
   * Fires when the answer is worthless; its reason is a `deadline` ProblemError or a ClientGoneError. Made when it is asked
   * for: under overload most requests are turned down before, and signals are dear.
   */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** To be called when the request is answered. */
  end(): void {
    clearTimeout(this.#timer);
    this.#response.off('close', this.#onClose);
  }

  // request.signal and request.raw 'close' both fire as soon as a body was read (fastify/fastify#6725);
  // the response's 'close' before it was written is the one sign of a client that has left.
  readonly #onClose = (): void => {
    if (!this.#response.writableFinished)
      this.#abort(new ClientGoneError('the client left before the answer'));
  };

  #abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}

function reserve(deadlineMs: number, { marginMs }: PredictionMargin): number {
  return Math.min(marginMs, Math.max(0, deadlineMs) * LARGEST_RESERVE);
}

function startTimer(
  deadline: number,
  expire: () => void,
  lateness: PredictionMargin,
): NodeJS.Timeout | undefined {
  const delayMs = deadline - performance.now();
  if (delayMs <= 0) {
    expire();
    return undefined;
  }
  return setTimeout(() => {
    lateness.learn(performance.now() - deadline);
    expire();
  }, delayMs);
}

/**
 * Reads the header `x-deadline-ms`: a number of milliseconds; zero or less means that it has passed already.
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
