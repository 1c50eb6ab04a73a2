/**
 * Reads the JSON form of a request, for people with curl: the same tensors and metadata as in the binary form, the tensors
 * as base64 or as nested lists. The rules and limits are those of the binary form.
 */
import { messageOf, problem, type ProblemError } from '../errors.js';
import { type ListDtype, NestedListError, shown, tensorFromLists } from './nested-lists.js';
import { bodyFromHeader, type Header, MAX_HEADER_BYTES } from './safetensors.js';
import type { Steps } from './slices.js';
import { isRecord, parseBytesInSteps } from './strict-json.js';
import { type DecodedBody, DTYPE_BYTES, elementCount, isDtype, type TensorData } from './tensor.js';

const MAX_SHOWN_AXES = 8;

/** Returns the element type in which a nested list is stored, by the request's `model` and the tensor's name. */
export type ChooseListDtype = (model: string | undefined, tensor: string) => ListDtype;

/**
 * Reads `{"tensors": {name: {"dtype", "shape", "data": base64} or nested lists, ...}, ...metadata}`.
 * Metadata that is not a string (a policy, a list of ids, a step) becomes its JSON text, as in the binary form. Works in short
 * steps, because JSON of the allowed size takes long.
 * @throws {ProblemError} `malformed_body`, saying what was expected.
 */
export function* decodeJson(bytes: ArrayBufferLike, chooseListDtype: ChooseListDtype): Steps<DecodedBody> {
  const { tensors, ...fields } = yield* readDocument(bytes);
  if (!isRecord(tensors))
    throw malformed('needs a member "tensors", an object of tensors by name', 'tensors');
  const metadata = metadataTexts(fields);
  const read: [string, TensorData][] = [];
  for (const [name, value] of Object.entries(tensors)) {
    yield;
    const field = `tensors.${name}`;
    if (!Array.isArray(value)) read.push([name, readBase64(value, field)]);
    else read.push([name, yield* readLists(value, chooseListDtype(metadata['model'], name), field)]);
  }
  return bodyOf(read, metadata);
}

/** Lays the tensors out as a binary body has them: those with large elements first, so that each is aligned. */
function bodyOf(tensors: readonly [string, TensorData][], metadata: Record<string, string>): DecodedBody {
  const memory = new SharedArrayBuffer(tensors.reduce((sum, [, { data }]) => sum + data.byteLength, 0));
  let begin = 0;
  const entries = tensors
    .toSorted(([, left], [, right]) => DTYPE_BYTES[right.dtype] - DTYPE_BYTES[left.dtype])
    .map(([name, { dtype, shape, data }]) => {
      const end = begin + data.byteLength;
      new Uint8Array(memory, begin).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      const entry = { dtype, shape, data_offsets: [begin, end] };
      begin = end;
      return [name, entry];
    });
  const header: Header = { __metadata__: metadata, ...Object.fromEntries(entries) };
  const headerBytes = Buffer.byteLength(JSON.stringify(header));
  if (headerBytes > MAX_HEADER_BYTES) {
    throw malformed(
      `has ${headerBytes} bytes of names, shapes and metadata, more than the ${MAX_HEADER_BYTES} allowed`,
      'body',
    );
  }
  return bodyFromHeader(header, memory, 0);
}

function* readDocument(bytes: ArrayBufferLike): Steps<Record<string, unknown>> {
  let document: unknown;
  try {
    document = yield* parseBytesInSteps(new Uint8Array(bytes));
  } catch (error) {
    throw malformed(`is ${messageOf(error)}`, 'body', error);
  }
  if (!isRecord(document)) throw malformed('must be a JSON object', 'body');
  return document;
}

function metadataTexts(fields: Record<string, unknown>): Record<string, string> {
  if (lengthUpTo(MAX_HEADER_BYTES, fields) > MAX_HEADER_BYTES)
    throw malformed(`has more than the ${MAX_HEADER_BYTES} allowed bytes of metadata`, 'body');
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

function* readLists(lists: readonly unknown[], dtype: ListDtype, field: string): Steps<TensorData> {
  try {
    return yield* tensorFromLists(lists, dtype);
  } catch (error) {
    if (!(error instanceof NestedListError)) throw error;
    throw malformed(`holds no tensor in ${field}: ${error.message}`, field, error);
  }
}

function readBase64(value: unknown, field: string): TensorData {
  if (!isRecord(value)) throw malformed(`must hold nested lists or {dtype, shape, data} in ${field}`, field);
  const { dtype, shape, data } = value;
  if (!isDtype(dtype)) throw malformed(`gives ${field} the unsupported dtype ${shown(dtype)}`, field);
  const count = Array.isArray(shape) ? elementCount(shape) : undefined;
  if (count === undefined) throw malformed(`gives ${field} an impossible shape, ${shownShape(shape)}`, field);
  if (typeof data !== 'string') throw malformed(`must hold base64 text in ${field}.data`, field);
  const bytes = Buffer.from(data, 'base64');
  const expected = count * DTYPE_BYTES[dtype];
  // Node's decoder skips characters that are not base64, so the length of the text is compared as well.
  if (bytes.length !== expected || data.length !== 4 * Math.ceil(expected / 3)) {
    throw malformed(`must hold exactly ${expected} bytes as base64 in ${field}.data`, field);
  }
  return { dtype, shape: shape as number[], data: bytes };
}

/** At most the length of a value's JSON. Stops counting above a limit, so that a huge value is never written. */
function lengthUpTo(limit: number, value: unknown): number {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? value.length + 2 : 1;
  let length = 2;
  for (const [key, item] of Object.entries(value)) {
    length += (Array.isArray(value) ? 0 : key.length + 3) + lengthUpTo(limit - length, item);
    if (length > limit) break;
  }
  return length;
}

function shownShape(shape: unknown): string {
  return Array.isArray(shape) && shape.length <= MAX_SHOWN_AXES
    ? `[${shape.map(shown).join(',')}]`
    : shown(shape);
}

function malformed(what: string, field: string, cause?: unknown): ProblemError {
  return problem('malformed_body', `The JSON body ${what}.`, { field, cause });
}
