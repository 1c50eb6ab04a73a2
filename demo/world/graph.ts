/** A graph of the reference world, whatever runs it. */

/** A row-major float32 tensor, one row per sample. */
export interface Floats {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** An input of a graph; token ids are I64, masks U8. */
export type Feed = Floats | { readonly data: BigInt64Array | Uint8Array; readonly dims: readonly number[] };

export interface Graph {
  /** Runs once; every output is float32. */
  run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Floats>>;
  release(): Promise<void>;
}
