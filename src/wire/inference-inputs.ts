/** Reads the inputs of a request of the Open Inference Protocol: their descriptions in JSON, and their elements. */
import { quoted } from '../disclosure.js';
import { problem, type ProblemError } from '../errors.js';
import { NestedListError, tensorFromLists } from './nested-lists.js';
import { isRecord } from './strict-json.js';
import { DTYPE_BYTES, type Dtype, elementCount, type TensorData } from './tensor.js';

const MAX_INPUTS = 64;

/** The protocol's names of element types, and ours. */
export const DATATYPES = {
  BOOL: 'BOOL',
  UINT8: 'U8',
  INT8: 'I8',
  UINT16: 'U16',
  INT16: 'I16',
  UINT32: 'U32',
  INT32: 'I32',
  UINT64: 'U64',
  INT64: 'I64',
  FP16: 'F16',
  BF16: 'BF16',
  FP32: 'F32',
  FP64: 'F64',
} as const satisfies Record<string, Dtype>;

export type Datatype = keyof typeof DATATYPES;

export interface Input extends TensorData {
  readonly name: string;
  readonly data: ArrayBufferView;
}

/**
 * Binary elements are views into `bytes`, one input after the other, from `jsonBytes` on.
 * @throws {ProblemError} `malformed_body`, saying which rule was broken.
 */
export function readInputs(inputs: unknown, bytes: ArrayBufferLike, jsonBytes: number): Input[] {
  if (!Array.isArray(inputs) || inputs.length > MAX_INPUTS)
    throw malformed(`inputs is not a list of at most ${MAX_INPUTS} tensors`, 'inputs');
  let position = jsonBytes;
  const names = new Set<string>();
  const read = inputs.map((input: unknown, index): Input => {
    const field = `inputs.${index}`;
    if (!isRecord(input)) throw malformed(`${field} is not an object`, field);
    const { name, datatype, shape, parameters = {}, data } = input;
    if (typeof name !== 'string' || names.has(name))
      throw malformed(`${field}.name is no text or occurs twice`, field);
    names.add(name);
    const dtype = isDatatype(datatype) ? DATATYPES[datatype] : undefined;
    if (dtype === undefined)
      throw malformed(
        `${field}.datatype is ${quoted(datatype)}; ${Object.keys(DATATYPES).join(', ')} are known`,
        field,
      );
    const count = Array.isArray(shape) ? elementCount(shape) : undefined;
    if (count === undefined)
      throw malformed(`${field}.shape is ${quoted(shape)}, which is not possible`, field);
    const described = { name, dtype, shape: shape as number[] };
    const size = isRecord(parameters) ? parameters['binary_data_size'] : undefined;
    if (size === undefined) return { ...described, ...readList(data, dtype, count, field) };
    const expected = count * DTYPE_BYTES[dtype];
    if (size !== expected || position + expected > bytes.byteLength)
      throw malformed(
        `${field} has ${quoted(size)} binary bytes, its shape and datatype ${expected}, the body may end before`,
        field,
      );
    position += expected;
    return { ...described, data: new Uint8Array(bytes, position - expected, expected) };
  });
  if (position !== bytes.byteLength)
    throw malformed(`the inputs end at byte ${position}, the body at ${bytes.byteLength}`, 'body');
  return read;
}

/** Lists hold the numbers in any nesting: clients flatten them. Floats are read as F32. */
function readList(data: unknown, dtype: Dtype, count: number, field: string): Pick<Input, 'dtype' | 'data'> {
  if (!Array.isArray(data))
    throw malformed(`${field} has neither data nor parameters.binary_data_size`, field);
  const stored =
    dtype === 'U8' || dtype === 'I64' ? dtype : dtype.startsWith('F') || dtype === 'BF16' ? 'F32' : undefined;
  if (stored === undefined || dtype === 'F64')
    throw malformed(
      `${field}: its datatype is not read from JSON; FP32, FP16, BF16, UINT8 and INT64 are`,
      field,
    );
  try {
    const { shape, data: array } = tensorFromLists(data as unknown[], stored);
    if (elementCount(shape) === count) return { dtype: stored, data: array };
  } catch (error) {
    if (!(error instanceof NestedListError)) throw error;
    throw malformed(`${field}.data holds no tensor: ${error.message}`, field, error);
  }
  throw malformed(`${field}.data does not hold the ${count} numbers of its shape`, field);
}

function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && Object.hasOwn(DATATYPES, value);
}

/** @param field of the request. */
export function malformed(what: string, field: string, cause?: unknown): ProblemError {
  return problem('malformed_body', `The body is no request of the Open Inference Protocol: ${what}.`, {
    field,
    cause,
  });
}
