/**
 * Owns what becomes of returned receipts: each is checked by itself, and what passes is weighed and counted.
 *
 * The weight is one over the chance that the sample was finished. A sample that was judged at several steps was
 * finished only if it survived all of them, so its chance is the smallest of its receipts': they must come together.
 */
import type { KeyRing } from './keys.js';
import { openReceipt, type Receipt } from './receipt.js';
import { RecentNonces } from './recent-nonces.js';

const MS_PER_SECOND = 1000;

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

/** A receipt with the true quality of the finished image, in the units of the metric; as it came, unchecked. */
export interface FeedbackItem {
  readonly receipt: unknown;
  readonly quality: unknown;
}

/** One sample's outcome that counts. */
export interface Outcome {
  readonly receipt: Receipt;
  /** In the units of the metric, finite. */
  readonly quality: number;
  /** One over the chance that the sample was finished; undefined where its like may never be finished. */
  readonly weight: number | undefined;
  readonly delaySeconds: number;
}

export interface FeedbackObserver {
  accepted(outcome: Outcome): void;
  refused(reason: FeedbackRefusal): void;
}

export interface FeedbackResult {
  readonly accepted: number;
  readonly refused: readonly { readonly index: number; readonly reason: FeedbackRefusal }[];
}

export interface FeedbackIntakeOptions {
  readonly keys: () => KeyRing;
  readonly observer: FeedbackObserver;
  readonly lifetimeSeconds: number;
  /** Receipts remembered, so that a repeated one is noticed. */
  readonly remembered: number;
  /** Unix time, ms. */
  readonly now?: () => number;
}

type Opened = Pick<Outcome, 'receipt' | 'quality' | 'delaySeconds'>;

export class FeedbackIntake {
  readonly #options: FeedbackIntakeOptions;
  readonly #now: () => number;
  readonly #recent: RecentNonces;

  constructor(options: FeedbackIntakeOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#recent = new RecentNonces(options.remembered);
  }

  /** Takes a batch; what is wrong with one item does not touch the others. */
  take(items: readonly FeedbackItem[]): FeedbackResult {
    const { observer } = this.#options;
    const opened: Opened[] = [];
    const refused: { index: number; reason: FeedbackRefusal }[] = [];
    for (const [index, item] of items.entries()) {
      const result = this.#open(item);
      if (typeof result !== 'string') opened.push(result);
      else {
        refused.push({ index, reason: result });
        observer.refused(result);
      }
    }
    for (const outcome of weighed(opened)) observer.accepted(outcome);
    return { accepted: opened.length, refused };
  }

  #open({ receipt: text, quality }: FeedbackItem): Opened | FeedbackRefusal {
    if (typeof text !== 'string') return 'malformed';
    const receipt = openReceipt(this.#options.keys(), text);
    if (typeof receipt === 'string') return receipt;
    const delaySeconds = Math.max(0, this.#now() - receipt.issuedAt) / MS_PER_SECOND;
    if (delaySeconds > this.#options.lifetimeSeconds) return 'expired';
    if (this.#recent.has(receipt.nonce)) return 'repeated';
    // Whoever finishes dropped samples by choice would make them count far too much.
    if (receipt.decision === 'drop') return 'dropped';
    if (typeof quality !== 'number' || !Number.isFinite(quality)) return 'invalid_quality';
    this.#recent.add(receipt.nonce);
    return { receipt, quality, delaySeconds };
  }
}

function weighed(opened: readonly Opened[]): Outcome[] {
  const samples = new Map<string, { propensity: number; survival: number }>();
  for (const item of opened) {
    const known = samples.get(sampleKey(item)) ?? { propensity: 1, survival: 1 };
    samples.set(sampleKey(item), {
      propensity: Math.min(known.propensity, item.receipt.propensity),
      survival: Math.min(known.survival, item.receipt.survival),
    });
  }
  return opened.map((item): Outcome => {
    const { propensity = 1, survival = 0 } = samples.get(sampleKey(item)) ?? {};
    return { ...item, weight: survival > 0 ? 1 / propensity : undefined };
  });
}

/** Receipts of one sample share it; a sample without an id stands for itself. */
function sampleKey({ receipt: { model, version, sample, nonce } }: Opened): string {
  return JSON.stringify([model, version, sample ?? nonce, sample === null]);
}
