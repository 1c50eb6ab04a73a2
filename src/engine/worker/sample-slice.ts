/** The size of a request, and slices of its samples that share the memory of its body. */
import type { DecodedBody, TensorSlice } from '../../wire/tensor.js';

/** Consecutive samples of one request, at most all of them. */
export interface SampleSlice {
  /** The index of the first sample in the request; error messages count samples from it. */
  readonly first: number;
  readonly samples: number;
  readonly bytes: ArrayBufferLike;
  readonly tensors: ReadonlyMap<string, TensorSlice>;
}

/** The samples of a body, by the first axis of its timesteps. */
export function sampleCount({ tensors }: DecodedBody): number {
  return tensors.get('timestep')?.shape[0] ?? 0;
}

/** Tokens up to the last real one of any sample; the rest is padding and takes no room in a batch. */
export function usedTokens({ bytes, tensors }: Pick<DecodedBody, 'bytes' | 'tensors'>): number {
  const tensor = tensors.get('token_mask');
  const [samples = 0, tokens = 0] = tensor?.shape ?? [];
  if (!tensor) return 1;
  const mask = new Uint8Array(bytes, tensor.byteOffset, tensor.byteLength);
  let last = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    last = Math.max(last, mask.subarray(sample * tokens, (sample + 1) * tokens).lastIndexOf(1));
  }
  return last + 1;
}

/** The samples from index `first` on, all by default. Nothing is copied. */
export function sliceOf(body: DecodedBody, first = 0, samples = sampleCount(body) - first): SampleSlice {
  const { bytes, tensors } = body;
  if (samples === sampleCount(body)) return { first, samples, bytes, tensors };
  const window = ({ dtype, shape, byteOffset, byteLength }: TensorSlice): TensorSlice => {
    const sampleBytes = byteLength / (shape[0] ?? 1);
    return {
      dtype,
      shape: [samples, ...shape.slice(1)],
      byteOffset: byteOffset + first * sampleBytes,
      byteLength: samples * sampleBytes,
    };
  };
  const windows = new Map([...tensors].map(([name, tensor]) => [name, window(tensor)]));
  return { first, samples, bytes, tensors: windows };
}
