/**
 * Takes returned receipts with the true quality of their images: checks each by itself, and weights the accepted ones.
 *
 * The weight is one over the probability that the sample was finished. A sample with decisions at several steps was
 * finished only if it was kept at all of them, so its receipts must come in one request. The steps of one policy share a draw
 * of exploration, so their probability is the smallest propensity. Different policies have independent draws, so theirs are
 * multiplied.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { partsOfTag } from './exploration.js';
import type { KeyRing } from './keys.js';
import { openReceipt, type Receipt } from './receipt.js';

export const FEEDBACK_REFUSALS = [
  'malformed',
  'foreign',
  'tampered',
  'expired',
  'repeated',
  'dropped',
  'invalid_quality',
] as const;

export type FeedbackRefusal = (typeof FEEDBACK_REFUSALS)[number];

/** So many are checked or counted in one turn of the event loop. See docs/adr/0025-json-off-the-event-loop.md. */
const RECEIPTS_PER_TURN = 20;

/** A receipt with the true quality of the finished image, in the metric's units; both unchecked. */
export interface FeedbackItem {
  readonly receipt: unknown;
  readonly quality: unknown;
}

export interface AcceptedFeedback {
  readonly receipt: Receipt;
  /** In the metric's units, finite. */
  readonly quality: number;
  /** One over the probability that the sample was finished; undefined when samples like it may never be finished. */
  readonly weight: number | undefined;
  readonly delaySeconds: number;
}

type UnweightedFeedback = Omit<AcceptedFeedback, 'weight'>;

export interface FeedbackObserver {
  onAccepted(feedback: AcceptedFeedback): void;
  onRefused(reason: FeedbackRefusal): void;
}

export interface FeedbackResult {
  readonly accepted: number;
  readonly refused: readonly { readonly index: number; readonly reason: FeedbackRefusal }[];
}

export interface FeedbackIntakeOptions {
  readonly keys: () => KeyRing;
  readonly observer: FeedbackObserver;
  readonly lifetimeSeconds: number;
  /** How many receipts are remembered to detect repeated ones. */
  readonly remembered: number;
  /** Unix time, ms. */
  readonly now?: () => number;
}

export class FeedbackIntake {
  readonly #options: FeedbackIntakeOptions;
  readonly #now: () => number;
  readonly #recent: RecentNonces;
  /** Resolves when all lists so far have been taken. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FeedbackIntakeOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#recent = new RecentNonces(options.remembered);
  }

  /**
   * Takes a list of items; an error in one does not affect the others. Takes one list after the other, because all lists
   * that wait for a turn of the event loop would get the same one.
   */
  take(items: readonly FeedbackItem[]): Promise<FeedbackResult> {
    const result = this.#last.then(() => this.#takeNow(items));
    this.#last = result.catch(() => {});
    return result;
  }

  async #takeNow(items: readonly FeedbackItem[]): Promise<FeedbackResult> {
    const { observer } = this.#options;
    const accepted: UnweightedFeedback[] = [];
    const refused: { index: number; reason: FeedbackRefusal }[] = [];
    for (const [index, item] of items.entries()) {
      if (index % RECEIPTS_PER_TURN === 0) await nextTurn();
      const result = this.#check(item);
      if (typeof result !== 'string') accepted.push(result);
      else {
        refused.push({ index, reason: result });
        observer.onRefused(result);
      }
    }
    for (const [index, feedback] of withWeights(accepted).entries()) {
      if (index % RECEIPTS_PER_TURN === 0) await nextTurn();
      observer.onAccepted(feedback);
    }
    return { accepted: accepted.length, refused };
  }

  #check({ receipt: text, quality }: FeedbackItem): UnweightedFeedback | FeedbackRefusal {
    if (typeof text !== 'string') return 'malformed';
    const receipt = openReceipt(this.#options.keys(), text);
    if (typeof receipt === 'string') return receipt;
    const delaySeconds = Math.max(0, this.#now() - receipt.issuedAt) / 1000;
    if (delaySeconds > this.#options.lifetimeSeconds) return 'expired';
    if (this.#recent.has(receipt.nonce)) return 'repeated';
    // Weights assume that only exploration finishes samples that would be dropped.
    if (receipt.decision === 'drop') return 'dropped';
    if (typeof quality !== 'number' || !Number.isFinite(quality)) return 'invalid_quality';
    this.#recent.add(receipt.nonce);
    return { receipt, quality, delaySeconds };
  }
}

/** The latest nonces, up to a capacity. */
export class RecentNonces {
  readonly #capacity: number;
  readonly #nonces = new Set<string>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  has(nonce: string): boolean {
    return this.#nonces.has(nonce);
  }

  /** Adds a nonce; beyond the capacity the oldest is removed. */
  add(nonce: string): void {
    this.#nonces.add(nonce);
    if (this.#nonces.size <= this.#capacity) return;
    // A set iterates in the order of insertion.
    const [oldest = nonce] = this.#nonces;
    this.#nonces.delete(oldest);
  }
}

function withWeights(feedback: readonly UnweightedFeedback[]): AcceptedFeedback[] {
  /** By sample: the smallest propensity of each of its draws. */
  const samples = new Map<string, Map<string, number>>();
  const neverFinished = new Set<string>();
  for (const { receipt } of feedback) {
    const { sample, experiment } = drawOf(receipt);
    const draws = samples.get(sample) ?? new Map<string, number>();
    samples.set(sample, draws);
    draws.set(experiment, Math.min(receipt.propensity, draws.get(experiment) ?? 1));
    if (receipt.lowestPropensity <= 0) neverFinished.add(sample);
  }
  return feedback.map((item): AcceptedFeedback => {
    const { sample } = drawOf(item.receipt);
    const propensity = [...(samples.get(sample)?.values() ?? [])].reduce(
      (product, next) => product * next,
      1,
    );
    return { ...item, weight: neverFinished.has(sample) ? undefined : 1 / propensity };
  });
}

/** Identifies the sample of a receipt, and its draw. A sample without an id has one receipt, so its nonce is used. */
function drawOf({ model, version, sample, nonce }: Receipt): { sample: string; experiment: string } {
  const { pseudonym, experiment } = partsOfTag(sample ?? nonce);
  return { sample: JSON.stringify([model, version, pseudonym, sample === null]), experiment };
}
