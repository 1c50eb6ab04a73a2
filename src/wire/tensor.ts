/**
 * Owns the vocabulary of tensors at the border between the wire formats and the engine.
 * A decoded body is one block of memory and views into it: nothing is copied until the engine needs it elsewhere.
 */

/** Element types by the names that safetensors gives them. */
export type Dtype =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'U16'
  | 'I16'
  | 'F16'
  | 'BF16'
  | 'U32'
  | 'I32'
  | 'F32'
  | 'U64'
  | 'I64'
  | 'F64';

/** One tensor as a window into a body's memory: row-major, little-endian, not necessarily aligned to its element size. */
export interface TensorSlice {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where the tensor begins, in bytes from the start of the body's `bytes`. */
  readonly byteOffset: number;
  /** Always the product of `shape` times the element size. */
  readonly byteLength: number;
}

/** A request's tensors and texts. Workers read `bytes` in place if it is shared memory, and get a copy otherwise. */
export interface DecodedBody {
  readonly bytes: ArrayBufferLike;
  readonly tensors: ReadonlyMap<string, TensorSlice>;
  readonly metadata: ReadonlyMap<string, string>;
}
