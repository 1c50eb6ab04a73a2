/**
 * Reads and writes the bodies of the Open Inference Protocol, version 2: JSON, and behind it the elements of tensors in binary
 * form. https://github.com/kserve/open-inference-protocol and, for the binary form, Triton's extension_binary_data.md.
 */
import { type Input, malformed, readInputs } from './inference-inputs.js';
import { bodyOf } from './json.js';
import { isRecord, parseStrictJson, StrictJsonError } from './strict-json.js';
import type { DecodedBody } from './tensor.js';

/** Brackets and strings of the JSON, where it is read on the event loop. */
export const MAX_TOKENS = 4096;
/** Parameters that are no metadata. The service has no priorities and no sequences. */
const OWN_PARAMETERS = new Set(['timeout', 'priority', 'binary_data_output']);
const US_PER_MS = 1000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A request to infer. Its parameters are the body's metadata, as texts. */
export interface InferenceBody extends DecodedBody {
  readonly id: string | undefined;
  /** `parameters.timeout`, which is in µs, in ms. */
  readonly timeoutMs: number | undefined;
  /** The outputs that are asked for, by name, and whether in binary form; undefined means all, in the form of `isBinary`. */
  readonly outputs: ReadonlyMap<string, boolean> | undefined;
  readonly isBinary: boolean;
}

/**
 * Reads a request.
 * @param jsonBytes the length of the JSON; the rest is binary. @param maxTokens see parseStrictJson.
 * @throws {ProblemError} `malformed_body`, saying which rule was broken.
 */
export function decodeInference(bytes: ArrayBufferLike, jsonBytes: number, maxTokens: number): InferenceBody {
  const { id, parameters = {}, inputs, outputs } = parse(bytes, jsonBytes, maxTokens);
  if (id !== undefined && typeof id !== 'string') throw malformed('id is not a text', 'id');
  if (!isRecord(parameters)) throw malformed('parameters is not an object', 'parameters');
  const metadata = metadataTexts(parameters);
  const read = readInputs(inputs, bytes, jsonBytes);
  const isInPlace = read.every(({ data }) => data.buffer === bytes);
  // What came as JSON is laid out as a binary body has it.
  const body = isInPlace
    ? inPlace(read, bytes, metadata)
    : bodyOf(
        read.map((input) => [input.name, input]),
        metadata,
      );
  return {
    ...body,
    id,
    timeoutMs: readTimeout(parameters['timeout']),
    outputs: readOutputs(outputs),
    isBinary: parameters['binary_data_output'] === true,
  };
}

/** A tensor of an answer, with as many elements as there are samples; null where there is no value. */
export interface OutputTensor {
  readonly name: string;
  readonly datatype: 'FP32' | 'UINT8' | 'INT32';
  readonly values: readonly (number | null)[];
}

/** An answer: JSON alone, or JSON of so many bytes with something binary behind it. */
export type InferenceAnswer =
  | { readonly body: string; readonly jsonBytes?: undefined }
  | { readonly body: Buffer; readonly jsonBytes: number };

/** Writes an answer. */
export function encodeInference(
  head: object,
  tensors: readonly OutputTensor[],
  isBinary: (name: string) => boolean,
): InferenceAnswer {
  const parts: Buffer[] = [];
  const outputs = tensors.map(({ name, datatype, values }) => {
    const described = { name, datatype, shape: [values.length] };
    if (!isBinary(name)) return { ...described, data: values };
    const part = elements(datatype, values);
    parts.push(part);
    return { ...described, parameters: { binary_data_size: part.length } };
  });
  const text = JSON.stringify({ ...head, outputs });
  // As a text, it goes to the socket in one write with the headers.
  if (parts.length === 0) return { body: text };
  const json = Buffer.from(text);
  return { body: Buffer.concat([json, ...parts]), jsonBytes: json.length };
}

function elements(datatype: OutputTensor['datatype'], values: OutputTensor['values']): Buffer {
  if (datatype === 'UINT8') return Buffer.from(values.map((value) => value ?? 0));
  const numbers = values.map((value) => value ?? NaN);
  const array = datatype === 'FP32' ? Float32Array.from(numbers) : Int32Array.from(numbers);
  return Buffer.from(array.buffer);
}

function inPlace(
  inputs: readonly Input[],
  bytes: ArrayBufferLike,
  metadata: Record<string, string>,
): DecodedBody {
  const tensors = inputs.map(({ name, dtype, shape, data }) => {
    const { byteOffset, byteLength } = data;
    return [name, { dtype, shape, byteOffset, byteLength }] as const;
  });
  return { bytes, tensors: new Map(tensors), metadata: new Map(Object.entries(metadata)) };
}

/** A parameter that is no text, such as a policy, becomes its JSON text. */
function metadataTexts(parameters: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parameters)
      .filter(([key, value]) => !OWN_PARAMETERS.has(key) && !key.startsWith('sequence_') && value !== null)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

function readTimeout(timeout: unknown): number | undefined {
  // tritonclient sends 0 for no limit.
  if (timeout === undefined || timeout === 0) return undefined;
  if (typeof timeout === 'number' && Number.isFinite(timeout) && timeout > 0) return timeout / US_PER_MS;
  throw malformed('parameters.timeout is not a number of microseconds', 'parameters.timeout');
}

function readOutputs(outputs: unknown): Map<string, boolean> | undefined {
  if (outputs === undefined || (Array.isArray(outputs) && outputs.length === 0)) return undefined;
  if (!Array.isArray(outputs)) throw malformed('outputs is not a list', 'outputs');
  return new Map(
    outputs.map((output: unknown, index) => {
      const { name, parameters = {} } = isRecord(output) ? output : {};
      if (typeof name !== 'string') throw malformed(`outputs.${index} has no name`, 'outputs');
      return [name, isRecord(parameters) && parameters['binary_data'] === true];
    }),
  );
}

function parse(bytes: ArrayBufferLike, jsonBytes: number, maxTokens: number): Record<string, unknown> {
  try {
    const document = parseStrictJson(utf8.decode(new Uint8Array(bytes, 0, jsonBytes)), maxTokens);
    if (isRecord(document)) return document;
  } catch (error) {
    const reason = error instanceof StrictJsonError ? error.message : 'not valid UTF-8';
    throw malformed(`its JSON is ${reason}`, 'body', error);
  }
  throw malformed('its JSON is not an object', 'body');
}
