/** Counts the outcomes of the requests of a loop. */
import { nowMs } from '../machine.js';
import type { LoadResult } from '../protocol.js';
import { spreadOf } from '../statistics.js';
import type { Answer } from './connection.js';

export interface TallyOptions {
  readonly samplesPerRequest: number;
  readonly startedAt: number;
  readonly deadlineMs?: number;
}

export class Tally {
  readonly #options: TallyOptions;
  readonly #latencies: number[] = [];
  readonly #inferences: number[] = [];
  readonly #lags: number[] = [];
  #sent = 0;
  #failedOpen = 0;
  #refused = 0;
  #late = 0;
  #lastAnswerAt: number;

  constructor(options: TallyOptions) {
    this.#options = options;
    this.#lastAnswerAt = options.startedAt;
  }

  get sent(): number {
    return this.#sent;
  }

  get answered(): number {
    return this.#latencies.length + this.#failedOpen + this.#refused + this.#late;
  }

  /** @param lagMs how late the request is, when there is a schedule. */
  send(lagMs?: number): void {
    this.#sent += 1;
    if (lagMs !== undefined) this.#lags.push(lagMs);
  }

  /**
   * @param since when the request was sent or due, on the clock of nowMs().
   * @param answer undefined when the connection broke: the request is lost.
   */
  receive(since: number, answer: Answer | undefined): void {
    if (!answer) return;
    const now = nowMs();
    this.#lastAnswerAt = now;
    const latency = now - since;
    if (latency > (this.#options.deadlineMs ?? Infinity)) this.#late += 1;
    else if (answer.status !== 200) this.#refused += 1;
    else if (answer.isScored) {
      this.#latencies.push(latency);
      if (answer.inferenceMs !== undefined) this.#inferences.push(answer.inferenceMs);
    } else this.#failedOpen += 1;
  }

  /** @param scheduledSeconds the length of the schedule; 0 without one. */
  result(connections: number, scheduledSeconds = 0): LoadResult {
    const { samplesPerRequest, startedAt } = this.#options;
    const useful = this.#latencies.length;
    return {
      seconds: Math.max(scheduledSeconds, (this.#lastAnswerAt - startedAt) / 1000),
      sent: this.#sent,
      useful,
      failedOpen: this.#failedOpen,
      refused: this.#refused,
      late: this.#late,
      lost: this.#sent - this.answered,
      samples: useful * samplesPerRequest,
      latencyMs: spreadOf(this.#latencies),
      inferenceMs: spreadOf(this.#inferences),
      lagMs: spreadOf(this.#lags),
      connections,
    };
  }
}
