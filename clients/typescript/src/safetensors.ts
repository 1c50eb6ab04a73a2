/** Writes tensors and texts in safetensors layout, https://github.com/huggingface/safetensors#format. */

/** Bytes per element, by the names that safetensors gives the types. */
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

export type Dtype = keyof typeof DTYPE_BYTES;

const LENGTH_BYTES = 8;
const ALIGNMENT_BYTES = 8;

/** A tensor to be written: `data` holds the elements row-major and little-endian. */
export interface TensorData {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/**
 * Writes tensors and texts in safetensors layout: large elements first and the header padded to 8 bytes,
 * so that every tensor starts aligned to its element size.
 * @returns memory of its own, not a part of a pool.
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
  const { header, dataBytes } = describe(ordered, metadata);
  const body = new Uint8Array(LENGTH_BYTES + header.length + dataBytes);
  new DataView(body.buffer).setBigUint64(0, BigInt(header.length), true);
  body.set(header, LENGTH_BYTES);
  let position = LENGTH_BYTES + header.length;
  for (const [, { data }] of ordered) {
    body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return body;
}

function describe(
  ordered: readonly (readonly [string, TensorData])[],
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array; dataBytes: number } {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata]);
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const expected = elementCount(shape) * DTYPE_BYTES[dtype];
    if (data.byteLength !== expected) {
      throw new RangeError(
        `${name}: ${dtype} [${shape.join(', ')}] needs ${expected} bytes, not ${data.byteLength}`,
      );
    }
    entries.push([name, { dtype, shape, data_offsets: [dataBytes, dataBytes + expected] }]);
    dataBytes += expected;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padding = (ALIGNMENT_BYTES - (json.length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;
  return { header: Buffer.concat([json, Buffer.alloc(padding, ' ')]), dataBytes };
}

/** NaN when an axis is not a whole number of at least 0. */
function elementCount(shape: readonly number[]): number {
  const isPossible = shape.every((axis) => Number.isSafeInteger(axis) && axis >= 0);
  return isPossible ? shape.reduce((count, axis) => count * axis, 1) : NaN;
}
