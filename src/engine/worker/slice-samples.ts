/** Owns how large a request is, and cutting it into parts of fewer samples. */
import type { DecodedBody, TensorSlice } from '../../wire/tensor.js';
import type { SampleSlice } from './protocol.js';

/** The samples of a body, by the first axis of its timesteps. */
export function sampleCount({ tensors }: DecodedBody): number {
  return tensors.get('timestep')?.shape[0] ?? 0;
}

/** Tokens up to the last real one of any sample: what follows is padding and takes no room in a batch. */
export function usedTokens({ bytes, tensors }: Pick<DecodedBody, 'bytes' | 'tensors'>): number {
  const slice = tensors.get('token_mask');
  const [samples = 0, tokens = 0] = slice?.shape ?? [];
  if (!slice) return 1;
  const mask = new Uint8Array(bytes, slice.byteOffset, slice.byteLength);
  let last = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    last = Math.max(last, mask.subarray(sample * tokens, (sample + 1) * tokens).lastIndexOf(1));
  }
  return last + 1;
}

/** The whole body as one part. */
export function wholeSlice(body: DecodedBody): SampleSlice {
  return { first: 0, samples: sampleCount(body), bytes: body.bytes, tensors: body.tensors };
}

/** `samples` samples from the one at index `first`, in the same memory: nothing is copied. */
export function sliceOf({ bytes, tensors }: DecodedBody, first: number, samples: number): SampleSlice {
  const window = ({ dtype, shape, byteOffset, byteLength }: TensorSlice): TensorSlice => {
    const sampleBytes = byteLength / (shape[0] ?? 1);
    return {
      dtype,
      shape: [samples, ...shape.slice(1)],
      byteOffset: byteOffset + first * sampleBytes,
      byteLength: samples * sampleBytes,
    };
  };
  return {
    first,
    samples,
    bytes,
    tensors: new Map([...tensors].map(([name, slice]) => [name, window(slice)])),
  };
}
