/** Owns how large a request is, and cutting it into parts of fewer samples. */
import type { DecodedBody, TensorSlice } from '../wire/tensor.js';
import type { BatchPart } from './protocol.js';

/** Every tensor of a part starts at a multiple of this, so that the worker can view it in place. */
const ALIGNMENT_BYTES = 8;

/** The samples of a body, by the first axis of its timesteps. */
export function sampleCount({ tensors }: DecodedBody): number {
  return tensors.get('timestep')?.shape[0] ?? 0;
}

/** Tokens up to the last real one of any sample: what follows is padding and takes no room in a batch. */
export function usedTokens({ bytes, tensors }: Pick<DecodedBody, 'bytes' | 'tensors'>): number {
  const slice = tensors.get('token_mask');
  const [samples = 0, tokens = 0] = slice?.shape ?? [];
  // Memory that was given away before is the worker's to complain of.
  if (!slice || bytes.byteLength === 0) return 1;
  const mask = new Uint8Array(bytes, slice.byteOffset, slice.byteLength);
  let last = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    last = Math.max(last, mask.subarray(sample * tokens, (sample + 1) * tokens).lastIndexOf(1));
  }
  return last + 1;
}

/** The whole body as one part: its memory is handed on, nothing is copied. */
export function wholePart(body: DecodedBody): BatchPart {
  return { first: 0, samples: sampleCount(body), bytes: body.bytes, tensors: body.tensors };
}

/** Copies `samples` samples from the one at index `first` into memory of their own. */
export function copyPart({ bytes, tensors }: DecodedBody, first: number, samples: number): BatchPart {
  const cut = new Map<string, TensorSlice>();
  const sources: Uint8Array[] = [];
  let end = 0;
  for (const [name, { dtype, shape, byteOffset, byteLength }] of tensors) {
    const sampleBytes = byteLength / (shape[0] ?? 1);
    const length = sampleBytes * samples;
    cut.set(name, { dtype, shape: [samples, ...shape.slice(1)], byteOffset: end, byteLength: length });
    sources.push(new Uint8Array(bytes, byteOffset + first * sampleBytes, length));
    end += Math.ceil(length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  const copy = new Uint8Array(end);
  for (const [index, { byteOffset }] of [...cut.values()].entries()) {
    const source = sources[index];
    if (source) copy.set(source, byteOffset);
  }
  return { first, samples, bytes: copy.buffer, tensors: cut };
}
