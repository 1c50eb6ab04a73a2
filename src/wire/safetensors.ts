/**
 * Reads bodies in safetensors layout, https://github.com/huggingface/safetensors#format. It applies every rule of the
 * reference reader, with lower limits, because a request is far smaller than a checkpoint.
 */
import { quoted } from '../disclosure.js';
import { problem, type ProblemError } from '../errors.js';
import { isRecord, parseStrictJson, StrictJsonError } from './strict-json.js';
import { type DecodedBody, DTYPE_BYTES, type Dtype, elementCount, isDtype } from './tensor.js';

const LENGTH_BYTES = 8;
export const MAX_HEADER_BYTES = 65_536;
const MAX_TENSORS = 64;
/** Brackets and strings in the header, which is parsed on the event loop. See docs/adr/0025-json-off-the-event-loop.md. */
const MAX_HEADER_TOKENS = 4096;
const METADATA_KEY = '__metadata__';
const OPENING_BRACE = 0x7b;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The header of a body: per tensor `{dtype, shape, data_offsets}`, and texts under `__metadata__`. Unchecked. */
export type Header = Readonly<Record<string, unknown>>;

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
  return bodyFromHeader(readHeader(bytes, headerEnd), bytes, headerEnd);
}

/**
 * The body that a header describes. Its slices are views into `bytes`, in which the tensors begin at `dataStart`.
 * @throws {ProblemError} `malformed_body`, saying which rule was broken.
 */
export function bodyFromHeader(header: Header, bytes: ArrayBufferLike, dataStart: number): DecodedBody {
  const { [METADATA_KEY]: metadata, ...described } = header;
  const names = Object.keys(described);
  checkTensorCount(names.length);
  const entries = names.map((name) => readEntry(name, described[name]));
  checkContiguous(entries, bytes.byteLength - dataStart);
  return {
    bytes,
    tensors: new Map(
      entries.map(({ name, dtype, shape, begin, end }) => [
        name,
        { dtype, shape, byteOffset: dataStart + begin, byteLength: end - begin },
      ]),
    ),
    metadata: readMetadata(metadata),
  };
}

/** @throws {ProblemError} `malformed_body` */
export function checkTensorCount(count: number): void {
  if (count > MAX_TENSORS) throw malformed(`it holds ${count} tensors, more than the ${MAX_TENSORS} allowed`);
}

/**
 * The number of samples that the header of a body announces, when its first `received` bytes have arrived. Undefined while the
 * header is not complete. It does not check the rest of the header; decodeSafetensors does.
 * @throws {ProblemError} `malformed_body`, when the header is not a JSON object.
 */
export function announcedSamples(bytes: ArrayBufferLike, received: number): number | undefined {
  if (received < LENGTH_BYTES) return undefined;
  const headerEnd = LENGTH_BYTES + readHeaderLength(bytes);
  if (received < headerEnd) return undefined;
  const { timestep } = readHeader(bytes, headerEnd);
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

function readHeader(bytes: ArrayBufferLike, headerEnd: number): Header {
  const header = new Uint8Array(bytes, LENGTH_BYTES, headerEnd - LENGTH_BYTES);
  if (header[0] !== OPENING_BRACE) throw malformed('its header does not begin with "{"');
  try {
    return parseStrictJson(utf8.decode(header), MAX_HEADER_TOKENS) as Header;
  } catch (error) {
    const reason = error instanceof StrictJsonError ? error.message : 'not valid UTF-8';
    throw malformed(`its header is ${reason}`, error);
  }
}

function readEntry(name: string, description: unknown): Entry {
  if (!isRecord(description)) throw malformed(`the header's entry ${quoted(name)} is not an object`);
  const { dtype, shape, data_offsets: offsets, ...unknown } = description;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined)
    throw malformed(`the header's entry ${quoted(name)} has an unknown member ${quoted(extra)}`);
  if (!isDtype(dtype))
    throw malformed(`the tensor ${quoted(name)} has the dtype ${quoted(dtype)}, which is not supported`);
  if (!Array.isArray(shape)) throw malformed(`the tensor ${quoted(name)} has no list as its shape`);
  if (!isRange(offsets))
    throw malformed(`the tensor ${quoted(name)} has no data_offsets [begin, end] with begin ≤ end`);
  const count = elementCount(shape);
  const size = count === undefined ? undefined : count * DTYPE_BYTES[dtype];
  if (size === undefined || !Number.isSafeInteger(size)) {
    throw malformed(`the tensor ${quoted(name)} has the shape ${quoted(shape)}, which is not possible`);
  }
  const [begin, end] = offsets;
  if (end - begin !== size) {
    throw malformed(
      `the tensor ${quoted(name)} needs ${size} bytes by its shape and dtype, but data_offsets give it ${end - begin}`,
    );
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

/** Each byte must belong to exactly one tensor, so that a small body cannot describe a large one. */
function checkContiguous(entries: readonly Entry[], dataBytes: number): void {
  let position = 0;
  for (const entry of entries.toSorted((left, right) => left.begin - right.begin || left.end - right.end)) {
    if (entry.begin !== position) {
      throw malformed(
        `the tensor ${quoted(entry.name)} begins at byte ${entry.begin}, but the one before it ends at ${position}`,
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
        throw malformed(`the entry ${quoted(key)} of its ${METADATA_KEY} is not a string`);
      return [key, value];
    }),
  );
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
