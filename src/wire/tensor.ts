/** Describes decoded bodies: one block of memory, and tensors as views into it. */

/** Bytes per element. The names of the element types are those of the safetensors format. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;

/** A tensor as a view into a body's memory: row-major, little-endian, not always aligned to its element size. */
export interface TensorSlice {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** In bytes from the start of the body's `bytes`. */
  readonly byteOffset: number;
  /** The product of `shape` times the element size. */
  readonly byteLength: number;
}

/** A tensor with its elements in memory of its own: row-major and little-endian. */
export interface TensorData {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** A request's tensors and texts. Workers read `bytes` in place when it is shared memory, and get a copy otherwise. */
export interface DecodedBody {
  readonly bytes: ArrayBufferLike;
  readonly tensors: ReadonlyMap<string, TensorSlice>;
  readonly metadata: ReadonlyMap<string, string>;
}

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BYTES, value);
}

/**
 * The number of elements of a shape. Undefined when an axis is not a whole number of at least 0, or when the product
 * is too large for a number to hold exactly.
 */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let count = 1;
  for (const axis of shape) {
    if (!Number.isSafeInteger(axis) || (axis as number) < 0) return undefined;
    count *= axis as number;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}
