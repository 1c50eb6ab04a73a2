/** The policies that a request can choose, as the service's OpenAPI document describes them. */

interface PolicyOptions {
  /** `shadow` decides but keeps every sample. `enforce` when omitted. */
  readonly mode?: 'enforce' | 'shadow' | undefined;
  /** At least this many samples of the request are kept, the best first. */
  readonly min_keep?: number | undefined;
  /** The share of the samples to drop that is finished all the same; 0.02 when omitted. */
  readonly explore?: { readonly rate?: number | undefined } | undefined;
}

/** The rule that turns scores into decisions. */
export type Policy = PolicyOptions &
  (
    | {
        readonly name: 'max_false_drop';
        /** The share of good samples that may be dropped, in (0, 1); 0.05 when `alphas` is omitted too. */
        readonly alpha?: number | undefined;
        /** The same by step, instead of `alpha`. Together they lose at most their sum. */
        readonly alphas?: Record<string, number> | undefined;
      }
    | {
        readonly name: 'threshold';
        /** Samples that score below it are dropped; in the units of the score. */
        readonly value: number;
      }
    | {
        readonly name: 'top_k';
        /** How many samples to keep. */
        readonly k: number;
      }
    | {
        readonly name: 'top_fraction';
        /** The share of samples to keep, in (0, 1], rounded up. */
        readonly fraction: number;
      }
    | { readonly name: 'score_only' }
  );
