/** The samples of the benchmark: cuts a group into single samples, and joins samples into a group. */
import { encodeSafetensors, type TensorData } from '../clients/typescript/src/safetensors.js';
import { decodeSafetensors } from '../src/wire/safetensors.js';
import { DTYPE_BYTES } from '../src/wire/tensor.js';

const ATTENTION = 'attention';
const TOKEN_MASK = 'token_mask';

/** One sample: every tensor has a first axis of 1. */
export interface Sample {
  readonly tensors: Readonly<Record<string, TensorData>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Cuts a request body into its samples. */
export function cutSamples(body: Uint8Array): Sample[] {
  const { bytes, tensors, metadata } = decodeSafetensors(Uint8Array.from(body).buffer);
  const [samples = 0] = tensors.get(ATTENTION)?.shape ?? [];
  return Array.from({ length: samples }, (_, index) => ({
    metadata: Object.fromEntries(metadata),
    tensors: Object.fromEntries(
      [...tensors].map(([name, { dtype, shape, byteOffset, byteLength }]) => {
        const size = byteLength / samples;
        const data = new Uint8Array(bytes, byteOffset + index * size, size).slice();
        return [name, { dtype, shape: [1, ...shape.slice(1)], data }];
      }),
    ),
  }));
}

/** The tensors of several samples as one batch; all must have the same shapes. */
export function joinTensors(samples: readonly Sample[]): Record<string, TensorData> {
  const [first] = samples;
  if (!first) throw new RangeError('a batch needs a sample');
  return Object.fromEntries(
    Object.entries(first.tensors).map(([name, { dtype, shape }]) => {
      const parts = samples.map((sample) => tensorOf(sample, name));
      if (parts.some((part) => String(part.shape) !== String(shape)))
        throw new RangeError(`the samples differ in the shape of ${name}`);
      const data = Buffer.concat(parts.map((part) => bytesOf(part)));
      return [name, { dtype, shape: [samples.length, ...shape.slice(1)], data }];
    }),
  );
}

/** A request body of these samples, with the first one's metadata. */
export function bodyOf(samples: readonly Sample[]): Uint8Array {
  return encodeSafetensors(joinTensors(samples), samples[0]?.metadata);
}

/** The number of tokens up to the last real one: the service runs without the padding after it. */
export function usedTokens(sample: Sample): number {
  return bytesOf(tensorOf(sample, TOKEN_MASK)).lastIndexOf(1) + 1;
}

/** The sample with only its first tokens. */
export function firstTokens(sample: Sample, count: number): Sample {
  const mask = tensorOf(sample, TOKEN_MASK);
  const attention = tensorOf(sample, ATTENTION);
  const [, layers = 0, tokens = 0, height = 0, width = 0] = attention.shape;
  const tokenBytes = height * width * DTYPE_BYTES[attention.dtype];
  const bytes = bytesOf(attention);
  const kept = Array.from({ length: layers }, (_, layer) => {
    const start = layer * tokens * tokenBytes;
    return bytes.subarray(start, start + count * tokenBytes);
  });
  return {
    metadata: sample.metadata,
    tensors: {
      ...sample.tensors,
      [ATTENTION]: { ...attention, shape: [1, layers, count, height, width], data: Buffer.concat(kept) },
      [TOKEN_MASK]: { ...mask, shape: [1, count], data: bytesOf(mask).slice(0, count) },
    },
  };
}

export function tensorOf(sample: Sample, name: string): TensorData {
  const tensor = sample.tensors[name];
  if (!tensor) throw new RangeError(`the sample has no tensor ${name}`);
  return tensor;
}

export function bytesOf({ data }: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
