/**
 * Reads JSON bodies; json-thread.ts runs it in a thread. The JSON form of a request to /score is for people with curl: the
 * same tensors and metadata as in the binary form, the tensors as base64 or as nested lists, with the same rules and limits.
 */
import { cut, quoted } from '../disclosure.js';
import { problem, type ProblemError } from '../errors.js';
import type { JsonReceipt } from './json-thread.js';
import { type ListDtype, NestedListError, tensorFromLists } from './nested-lists.js';
import { bodyFromHeader, checkTensorCount, type Header, MAX_HEADER_BYTES } from './safetensors.js';
import { isRecord, parseStrictJson, StrictJsonError } from './strict-json.js';
import { type DecodedBody, DTYPE_BYTES, elementCount, isDtype, type TensorData } from './tensor.js';

/** The most receipts in one request to /feedback. */
export const MAX_RECEIPTS = 1000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Returns the element type in which a nested list is stored, by the request's `model` and the tensor's name. */
export type ChooseListDtype = (model: string | undefined, tensor: string) => ListDtype;

/**
 * Reads `{"tensors": {name: {"dtype", "shape", "data": base64} or nested lists, ...}, ...metadata}`.
 * Metadata that is not a string (a policy, a list of ids, a step) becomes its JSON text, as in the binary form.
 * @throws {ProblemError} `malformed_body`, saying what was expected.
 */
export function decodeJson(bytes: ArrayBufferLike, chooseListDtype: ChooseListDtype): DecodedBody {
  const document = parse(bytes);
  if (!isRecord(document)) throw malformed('must be a JSON object', 'body');
  const { tensors, ...fields } = document;
  if (!isRecord(tensors))
    throw malformed('needs a member "tensors", an object of tensors by name', 'tensors');
  checkTensorCount(Object.keys(tensors).length);
  const metadata = metadataTexts(fields);
  const read = Object.entries(tensors).map(([name, value]): [string, TensorData] => {
    const field = `tensors.${cut(name)}`;
    if (Array.isArray(value))
      return [name, readLists(value, chooseListDtype(metadata['model'], name), field)];
    return [name, readBase64(value, field)];
  });
  return bodyOf(read, metadata);
}

/**
 * Reads `{"feedback": [{"receipt", "quality"}, ...]}`. An item of another form becomes an empty one, which is refused alone.
 * @throws {ProblemError} `malformed_body`, or `invalid_feedback` when it is not such a list.
 */
export function decodeFeedback(bytes: ArrayBufferLike): JsonReceipt[] {
  const document = parse(bytes);
  const { feedback, ...others } = isRecord(document) ? document : { others: document };
  const isAlone = Object.keys(others).length === 0;
  if (isAlone && Array.isArray(feedback) && feedback.length > 0 && feedback.length <= MAX_RECEIPTS) {
    return feedback.map((item: unknown) => {
      const { receipt, quality } = isRecord(item) ? item : {};
      return { receipt: flat(receipt), quality: flat(quality) };
    });
  }
  throw problem('invalid_feedback', 'The body is not an object with a list of receipts and nothing else.', {
    field: isAlone ? 'feedback' : 'body',
    expected: `{"feedback": [{"receipt", "quality"}, ...]} with 1 to ${MAX_RECEIPTS} items`,
  });
}

/** Lays the tensors out as a binary body has them: those with large elements first, so that each is aligned. */
export function bodyOf(
  tensors: readonly [string, TensorData][],
  metadata: Record<string, string>,
): DecodedBody {
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

function parse(bytes: ArrayBufferLike): unknown {
  try {
    return parseStrictJson(utf8.decode(new Uint8Array(bytes)));
  } catch (error) {
    const reason = error instanceof StrictJsonError ? error.message : 'not valid UTF-8';
    throw malformed(`is ${reason}`, 'body', error);
  }
}

/** Members that are texts: another type is a mistake, not to be read as its JSON text. */
const TEXT_MEMBERS = ['model', 'group', 'capture_id', 'conditions_id'];

function metadataTexts(fields: Record<string, unknown>): Record<string, string> {
  const wrong = TEXT_MEMBERS.find((key) => typeof (fields[key] ?? '') !== 'string');
  if (wrong !== undefined) throw malformed(`needs a text in ${wrong}`, wrong);
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

function readLists(lists: readonly unknown[], dtype: ListDtype, field: string): TensorData {
  try {
    return tensorFromLists(lists, dtype);
  } catch (error) {
    if (!(error instanceof NestedListError)) throw error;
    throw malformed(`holds no tensor in ${field}: ${error.message}`, field, error);
  }
}

function readBase64(value: unknown, field: string): TensorData {
  if (!isRecord(value)) throw malformed(`must hold nested lists or {dtype, shape, data} in ${field}`, field);
  const { dtype, shape, data } = value;
  if (!isDtype(dtype)) throw malformed(`gives ${field} the unsupported dtype ${quoted(dtype)}`, field);
  const count = Array.isArray(shape) ? elementCount(shape) : undefined;
  if (count === undefined) throw malformed(`gives ${field} an impossible shape, ${quoted(shape)}`, field);
  if (typeof data !== 'string') throw malformed(`must hold base64 text in ${field}.data`, field);
  const bytes = Buffer.from(data, 'base64');
  const expected = count * DTYPE_BYTES[dtype];
  // Node's decoder skips characters that are not base64, so the length of the text is compared as well.
  if (bytes.length !== expected || data.length !== 4 * Math.ceil(expected / 3)) {
    throw malformed(`must hold exactly ${expected} bytes as base64 in ${field}.data`, field);
  }
  return { dtype, shape: shape as number[], data: bytes };
}

function flat(value: unknown): unknown {
  return typeof value === 'object' ? undefined : value;
}

function malformed(what: string, field: string, cause?: unknown): ProblemError {
  return problem('malformed_body', `The JSON body ${what}.`, { field, cause });
}
