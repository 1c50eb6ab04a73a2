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
        /**
         * The probability, over the draw of the calibration, that each alpha holds: 0.5 to 0.9999; 0.95 when omitted. null: alpha
         * holds on average over calibrations only.
         */
        readonly confidence?: number | null | undefined;
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
    | {
        /** Keeps the best so many samples at each step of a plan: give `budget`, or `seeds` and `keep`. */
        readonly name: 'plan';
        /** The budget of one of the probe's plans, in whole images; `GET /models` lists them. */
        readonly budget?: number | undefined;
        /** How many samples of the group are started. */
        readonly seeds?: number | undefined;
        /** How many samples live on, by step. */
        readonly keep?: Record<string, number> | undefined;
      }
    | { readonly name: 'score_only' }
  );
