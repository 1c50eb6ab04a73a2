/**
 * Owns the JSON form of a request, for people with curl: the same tensors and metadata as in the binary form,
 * the tensors as base64 or as nested lists. It costs ten times the binary form, so its bodies are kept small.
 * It is rewritten into the binary form and read from there: one set of rules and limits for both.
 */
import { problem, type ProblemError } from '../errors.js';
import { sharedCopy } from './body-memory.js';
import { DTYPE_BYTES, elementCount, isDtype } from './dtype.js';
import { type ListDtype, NestedListError, tensorFromLists } from './nested-lists.js';
import { encodeSafetensors, type TensorData } from './safetensors-writer.js';
import { decodeSafetensors } from './safetensors.js';
import { parseStrictJson, StrictJsonError } from './strict-json.js';
import type { DecodedBody } from './tensor.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Tells the element type in which a nested list is stored, by the request's `model` and the tensor's name. */
export type ChooseListDtype = (model: string | undefined, tensor: string) => ListDtype;

/**
 * Reads `{"tensors": {name: {"dtype", "shape", "data": base64} or nested lists, ...}, ...metadata}`.
 * Metadata that is not a string (a policy, a list of ids, a step) becomes its JSON text, as the binary form has it.
 * @throws {ProblemError} `malformed_body`, saying what was expected.
 */
export function decodeJson(bytes: ArrayBufferLike, chooseListDtype: ChooseListDtype): DecodedBody {
  const { tensors, ...fields } = readDocument(bytes);
  if (!isRecord(tensors))
    throw malformed('needs a member "tensors", an object of tensors by name', 'tensors');
  const metadata = metadataTexts(fields);
  const read = Object.entries(tensors).map(([name, value]): [string, TensorData] => {
    const field = `tensors.${name}`;
    if (Array.isArray(value))
      return [name, readLists(value, chooseListDtype(metadata['model'], name), field)];
    return [name, readBase64(value, field)];
  });
  return decodeSafetensors(sharedCopy(encodeSafetensors(Object.fromEntries(read), metadata)));
}

function readDocument(bytes: ArrayBufferLike): Record<string, unknown> {
  let document: unknown;
  try {
    document = parseStrictJson(utf8.decode(new Uint8Array(bytes)));
  } catch (error) {
    throw malformed(
      error instanceof StrictJsonError ? `is ${error.message}` : 'is not valid UTF-8',
      'body',
      error,
    );
  }
  if (!isRecord(document)) throw malformed('must be a JSON object', 'body');
  return document;
}

function metadataTexts(fields: Record<string, unknown>): Record<string, string> {
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
  if (!isDtype(dtype))
    throw malformed(`gives ${field} the unsupported dtype ${JSON.stringify(dtype)}`, field);
  const count = Array.isArray(shape) ? elementCount(shape) : undefined;
  if (count === undefined)
    throw malformed(`gives ${field} an impossible shape, ${JSON.stringify(shape)}`, field);
  if (typeof data !== 'string') throw malformed(`must hold base64 text in ${field}.data`, field);
  const bytes = Buffer.from(data, 'base64');
  const expected = count * DTYPE_BYTES[dtype];
  // Node's decoder skips what is not base64, so the length of the text is compared as well.
  if (bytes.length !== expected || data.length !== 4 * Math.ceil(expected / 3)) {
    throw malformed(`must hold exactly ${expected} bytes as base64 in ${field}.data`, field);
  }
  return { dtype, shape: shape as number[], data: bytes };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(what: string, field: string, cause?: unknown): ProblemError {
  return problem('malformed_body', `The JSON body ${what}.`, { field, cause });
}
