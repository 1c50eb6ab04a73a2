/**
 * Appends accepted feedback to a file, one line of JSON per receipt, so that a probe can be calibrated again from it
 * (`diffusion-probe recalibrate`). The file is opened anew for each write, so that it may be renamed while the service runs.
 */
import { appendFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { partsOfTag } from './exploration.js';
import type { AcceptedFeedback } from './intake.js';

/** About 40 MB. */
const MAX_WAITING_LINES = 100_000;

export class FeedbackFile {
  readonly #path: string;
  readonly #onError: (error: unknown, lines: number) => void;
  readonly #maxWaiting: number;
  #lines: string[] = [];
  #last: Promise<void> | undefined;

  /**
   * @param onError is told why a write failed, and how many lines were lost: feedback is answered and counted all the same.
   * @param maxWaiting lines that may wait for a write which does not end. With one more, all of them are lost.
   */
  constructor(
    path: string,
    onError: (error: unknown, lines: number) => void,
    maxWaiting: number = MAX_WAITING_LINES,
  ) {
    this.#path = path;
    this.#onError = onError;
    this.#maxWaiting = maxWaiting;
  }

  /** Makes the file if there is none. Rejects when it cannot be written. */
  async open(): Promise<void> {
    await appendFile(this.#path, '');
  }

  /** Appends a line soon. */
  add(feedback: AcceptedFeedback): void {
    if (this.#lines.length === this.#maxWaiting) {
      this.#onError(new Error('the write before has not ended'), this.#lines.length);
      this.#lines = [];
    }
    this.#lines.push(`${JSON.stringify(lineOf(feedback))}\n`);
    // One write at a time, which takes what has come during the one before.
    this.#last ??= this.#write();
  }

  /** Resolves when every line so far has been written, or has failed. */
  async flushed(): Promise<void> {
    await this.#last;
  }

  async #write(): Promise<void> {
    while (this.#lines.length > 0) {
      // The receipts of a request follow each other at once.
      await nextTurn();
      const lines = this.#lines;
      this.#lines = [];
      try {
        await appendFile(this.#path, lines.join(''));
      } catch (error) {
        this.#onError(error, lines.length);
      }
    }
    this.#last = undefined;
  }
}

/** What a line holds. Sample and group are keyed hashes; their names and the prompt are not in a receipt. */
function lineOf({ receipt, quality, weight }: AcceptedFeedback) {
  const { pseudonym, group } =
    receipt.sample === null ? { pseudonym: null, group: null } : partsOfTag(receipt.sample);
  return {
    decided_at: new Date(receipt.issuedAt).toISOString(),
    model: receipt.model,
    version: receipt.version,
    step: receipt.step,
    sample: pseudonym,
    group,
    score: receipt.score,
    quality,
    weight: weight ?? null,
    good_at: receipt.goodAt,
    policy: receipt.policy,
    alpha: receipt.alpha,
    threshold: receipt.threshold,
    would_drop: receipt.wouldDrop,
    override: receipt.override,
  };
}
