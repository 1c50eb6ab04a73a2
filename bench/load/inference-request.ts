/** Writes bodies of the Open Inference Protocol. */
import { DATATYPES } from '../../src/wire/inference-inputs.js';
import type { TensorData } from '../../src/wire/tensor.js';

export interface InferenceRequest {
  readonly body: Buffer;
  /** The length of its JSON. */
  readonly jsonBytes: number;
}

/** A request with all tensors in binary form. */
export function inferenceRequest(tensors: Record<string, TensorData>, others: object = {}): InferenceRequest {
  const nameOf = Object.fromEntries(Object.entries(DATATYPES).map(([name, dtype]) => [dtype, name]));
  const inputs = Object.entries(tensors).map(([name, { dtype, shape, data }]) => ({
    name,
    datatype: nameOf[dtype],
    shape,
    parameters: { binary_data_size: data.byteLength },
  }));
  const json = Buffer.from(JSON.stringify({ ...others, inputs }));
  const parts = Object.values(tensors).map(({ data }) =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
  return { body: Buffer.concat([json, ...parts]), jsonBytes: json.length };
}
