/**
 * Packs the slices of a run for postMessage: the memory of each, and one flat list of numbers that describes it. Cloning
 * a nested description takes both threads longer than copying the values into the batch.
 */
import { DTYPE_BYTES } from '../../wire/tensor.js';
import { type InputLayout, sampleBytes } from './input-layout.js';
import type { SampleSlice } from './sample-slice.js';

/** The dtypes that a request may hold for an input of a graph. */
const DTYPES = ['F16', 'BF16', 'F32', 'U8', 'I64'] as const;
type SliceDtype = (typeof DTYPES)[number];

/** One input's values in the memory of a slice; the shape follows from the probe's inputs. */
export interface SliceTensor {
  readonly dtype: SliceDtype;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A SampleSlice as the worker receives it. */
export interface UnpackedSlice {
  readonly first: number;
  readonly samples: number;
  readonly tokens: number;
  readonly bytes: ArrayBufferLike;
  /** In the order of the probe's inputs. */
  readonly tensors: readonly SliceTensor[];
}

export interface PackedSlices {
  /** For each slice: first, samples, tokens, and for each input the index of its dtype in DTYPES and its byte offset. */
  readonly numbers: readonly number[];
  /** The memory of each slice. */
  readonly memory: ArrayBufferLike[];
}

/** @throws {Error} when a slice lacks an input, or the input's dtype or size does not fit the probe. */
export function packSlices(slices: readonly SampleSlice[], layouts: readonly InputLayout[]): PackedSlices {
  const numbers: number[] = [];
  const memory: ArrayBufferLike[] = [];
  for (const { first, samples, bytes, tensors } of slices) {
    const tokens = tensors.get('token_mask')?.shape[1] ?? 0;
    numbers.push(first, samples, tokens);
    for (const layout of layouts) {
      const { name } = layout.input;
      const tensor = tensors.get(name);
      if (!tensor) throw new Error(`the request has no tensor ${name}`);
      const index = DTYPES.findIndex((dtype) => dtype === tensor.dtype);
      const dtype = DTYPES[index];
      if (!dtype) throw new Error(`no graph takes ${tensor.dtype}`);
      if (tensor.byteLength !== lengthOf(dtype, layout, samples, tokens))
        throw new Error(`the tensor ${name} does not have the probe's shape`);
      numbers.push(index, tensor.byteOffset);
    }
    memory.push(bytes);
  }
  return { numbers, memory };
}

export function unpackSlices(
  { numbers, memory }: PackedSlices,
  layouts: readonly InputLayout[],
): UnpackedSlice[] {
  let at = 0;
  const next = (): number => numbers[at++] ?? 0;
  return memory.map((bytes) => {
    const [first, samples, tokens] = [next(), next(), next()];
    const tensors = layouts.map((layout) => {
      const dtype = DTYPES[next()] ?? 'U8';
      return { dtype, byteOffset: next(), byteLength: lengthOf(dtype, layout, samples, tokens) };
    });
    return { first, samples, tokens, bytes, tensors };
  });
}

function lengthOf(dtype: SliceDtype, layout: InputLayout, samples: number, tokens: number): number {
  const elements = (samples * sampleBytes(layout, tokens)) / layout.elementBytes;
  return elements * DTYPE_BYTES[dtype];
}
