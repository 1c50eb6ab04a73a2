/**
 * Owns the strict reader of the safetensors layout.
 * The format is described at https://github.com/huggingface/safetensors#format; every rule of its reference reader
 * is kept, with lower limits, because a request is far smaller than a checkpoint.
 */
import { problem, type ProblemError } from '../errors.js';
import { DTYPE_BYTES, elementCount, isDtype } from './dtype.js';
import { parseStrictJson, StrictJsonError } from './strict-json.js';
import type { DecodedBody, Dtype, TensorSlice } from './tensor.js';

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 65_536;
const MAX_TENSORS = 64;
const METADATA_KEY = '__metadata__';
const OPENING_BRACE = 0x7b;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface Entry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a body in safetensors layout. The result's slices are views into `bytes`: nothing is copied.
 * @throws {ProblemError} `malformed_body`, saying which rule was broken.
 */
export function decodeSafetensors(bytes: ArrayBufferLike): DecodedBody {
  const headerEnd = LENGTH_BYTES + readHeaderLength(bytes);
  const header = readHeader(new Uint8Array(bytes, LENGTH_BYTES, headerEnd - LENGTH_BYTES));
  const { [METADATA_KEY]: metadata, ...described } = header;
  const names = Object.keys(described);
  if (names.length > MAX_TENSORS)
    throw malformed(`it holds ${names.length} tensors, more than the ${MAX_TENSORS} allowed`);
  const entries = names.map((name) => readEntry(name, described[name]));
  checkContiguous(entries, bytes.byteLength - headerEnd);
  return {
    bytes,
    tensors: new Map(entries.map((entry) => [entry.name, toSlice(entry, headerEnd)])),
    metadata: readMetadata(metadata),
  };
}

/**
 * How many samples a body will hold of which the first `received` bytes are there; undefined as long as its header is
 * not. What else is wrong with it is left to decodeSafetensors.
 * @throws {ProblemError} `malformed_body`, when the header is none.
 */
export function announcedSamples(bytes: ArrayBufferLike, received: number): number | undefined {
  if (received < LENGTH_BYTES) return undefined;
  const headerEnd = LENGTH_BYTES + readHeaderLength(bytes);
  if (received < headerEnd) return undefined;
  const { timestep } = readHeader(new Uint8Array(bytes, LENGTH_BYTES, headerEnd - LENGTH_BYTES));
  const shape = isRecord(timestep) && Array.isArray(timestep['shape']) ? timestep['shape'] : [];
  const [samples] = shape as unknown[];
  return Number.isSafeInteger(samples) ? (samples as number) : 0;
}

function readHeaderLength(bytes: ArrayBufferLike): number {
  if (bytes.byteLength < LENGTH_BYTES) {
    throw malformed(
      `it has ${bytes.byteLength} bytes, fewer than the ${LENGTH_BYTES} of the header's length`,
    );
  }
  const length = new DataView(bytes).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw malformed(`its header is said to have ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed`);
  }
  if (LENGTH_BYTES + Number(length) > bytes.byteLength) {
    throw malformed(`its header is said to have ${length} bytes, but the body ends before`);
  }
  return Number(length);
}

function readHeader(bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== OPENING_BRACE) throw malformed('its header does not begin with "{"');
  let header: unknown;
  try {
    header = parseStrictJson(utf8.decode(bytes));
  } catch (error) {
    const reason = error instanceof StrictJsonError ? error.message : 'not valid UTF-8';
    throw malformed(`its header is ${reason}`, error);
  }
  return header as Record<string, unknown>;
}

function readEntry(name: string, description: unknown): Entry {
  if (!isRecord(description)) throw malformed(`the header's entry "${name}" is not an object`);
  const { dtype, shape, data_offsets: offsets, ...unknown } = description;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw malformed(`the header's entry "${name}" has an unknown member "${extra}"`);
  if (!isDtype(dtype))
    throw malformed(`the tensor "${name}" has the dtype ${JSON.stringify(dtype)}, which is not supported`);
  if (!Array.isArray(shape)) throw malformed(`the tensor "${name}" has no list as its shape`);
  if (!isRange(offsets))
    throw malformed(`the tensor "${name}" has no data_offsets [begin, end] with begin ≤ end`);
  const count = elementCount(shape);
  const size = count === undefined ? undefined : count * DTYPE_BYTES[dtype];
  if (size === undefined || !Number.isSafeInteger(size)) {
    throw malformed(`the tensor "${name}" has the shape ${JSON.stringify(shape)}, which is not possible`);
  }
  const [begin, end] = offsets;
  if (end - begin !== size) {
    throw malformed(
      `the tensor "${name}" needs ${size} bytes by its shape and dtype, but data_offsets give it ${end - begin}`,
    );
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

/** No holes and no overlaps: each byte belongs to one tensor, so a small body can't describe a large one. */
function checkContiguous(entries: readonly Entry[], dataBytes: number): void {
  let position = 0;
  for (const entry of entries.toSorted((left, right) => left.begin - right.begin || left.end - right.end)) {
    if (entry.begin !== position) {
      throw malformed(
        `the tensor "${entry.name}" begins at byte ${entry.begin}, but the one before it ends at ${position}`,
      );
    }
    position = entry.end;
  }
  if (position !== dataBytes)
    throw malformed(`its tensors end at byte ${position}, but its data has ${dataBytes} bytes`);
}

function readMetadata(metadata: unknown): Map<string, string> {
  if (metadata === undefined) return new Map();
  if (!isRecord(metadata)) throw malformed(`its ${METADATA_KEY} is not an object`);
  return new Map(
    Object.entries(metadata).map(([key, value]) => {
      if (typeof value !== 'string')
        throw malformed(`the entry "${key}" of its ${METADATA_KEY} is not a string`);
      return [key, value];
    }),
  );
}

function toSlice({ dtype, shape, begin, end }: Entry, dataStart: number): TensorSlice {
  return { dtype, shape, byteOffset: dataStart + begin, byteLength: end - begin };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isRange(value: unknown): value is [number, number] {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [begin, end] = value as unknown[];
  return (
    Number.isSafeInteger(begin) &&
    Number.isSafeInteger(end) &&
    (begin as number) >= 0 &&
    (begin as number) <= (end as number)
  );
}

function malformed(what: string, cause?: unknown): ProblemError {
  return problem('malformed_body', `The body is not in safetensors layout: ${what}.`, {
    field: 'body',
    cause,
  });
}
