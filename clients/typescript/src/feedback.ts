/** Encodes the outcomes of finished samples as the body of a request to /feedback. */

/** The outcome of a finished sample. */
export interface FeedbackItem {
  /** The receipt in the sample's result. */
  readonly receipt: string;
  /** The true quality of the finished image, in the units of the probe's metric. */
  readonly quality: number;
}

export function encodeFeedback(items: readonly FeedbackItem[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ feedback: items }));
}
