/** Writes request bodies in safetensors layout: https://github.com/huggingface/safetensors */

/** Bytes per element, by the names that safetensors gives the element types. */
const DTYPE_BYTES = {
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

const LENGTH_BYTES = 8;
const ALIGNMENT_BYTES = 8;

export type Dtype = keyof typeof DTYPE_BYTES;

export interface TensorData {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The elements, row-major and little-endian; F16 and BF16 as their 16 bits. */
  readonly data: ArrayBufferView;
}

/**
 * Encodes tensors and metadata. Tensors of large elements come first and the header is padded to 8 bytes, so that every
 * tensor starts aligned to its element size.
 * @returns a view of all of its buffer, which can therefore be transferred.
 * @throws {RangeError} when a tensor's data does not fit its shape.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, TensorData>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const ordered = Object.entries(tensors).toSorted(
    ([leftName, left], [rightName, right]) =>
      DTYPE_BYTES[right.dtype] - DTYPE_BYTES[left.dtype] || (leftName < rightName ? -1 : 1),
  );
  // A list, because assigning to the member __proto__ of an object would lose a tensor of that name.
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const expected = byteLengthOf(dtype, shape);
    if (data.byteLength !== expected) {
      throw new RangeError(
        `${name}: ${dtype} [${shape.join(', ')}] needs ${expected} bytes, not ${data.byteLength}`,
      );
    }
    header.push([name, { dtype, shape, data_offsets: [dataBytes, dataBytes + expected] }]);
    dataBytes += expected;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const body = new Uint8Array(LENGTH_BYTES + headerBytes + dataBytes);
  new DataView(body.buffer).setBigUint64(0, BigInt(headerBytes), true);
  body.set(json, LENGTH_BYTES);
  let position = LENGTH_BYTES + headerBytes;
  body.fill(' '.charCodeAt(0), LENGTH_BYTES + json.length, position);
  for (const [, { data }] of ordered) {
    body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return body;
}

/** NaN for an unknown dtype and for a shape that is none. */
export function byteLengthOf(dtype: Dtype, shape: readonly number[]): number {
  const isShape = shape.every((axis) => Number.isSafeInteger(axis) && axis >= 0);
  return isShape ? shape.reduce((product, axis) => product * axis, DTYPE_BYTES[dtype]) : NaN;
}
