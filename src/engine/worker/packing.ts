/**
 * Owns the form in which the parts of a run travel to a worker: their memory, and one list of whole numbers that says
 * where everything is. Cloning a nested description with every message costs both threads more than the copy of the data.
 */
import { type InputLayout, sampleBytes } from './input-layout.js';
import type { SampleSlice } from './protocol.js';

const DTYPES = ['F16', 'BF16', 'F32', 'U8', 'I64'] as const;

/** What a request may hold for an input of a graph. */
export type SliceDtype = (typeof DTYPES)[number];

const SOURCE_BYTES = { F16: 2, BF16: 2, F32: 4, U8: 1, I64: 8 } as const;

/** One input's values in the memory of a part; its shape follows from the probe's inputs. */
export interface SliceTensor {
  readonly dtype: SliceDtype;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A part as the worker sees it. */
export interface UnpackedSlice {
  readonly first: number;
  readonly samples: number;
  readonly tokens: number;
  readonly bytes: ArrayBufferLike;
  /** In the order of the probe's inputs. */
  readonly tensors: readonly SliceTensor[];
}

export interface PackedSlices {
  /** Of each part in turn: first, samples, tokens, and for each input its dtype's place in DTYPES and its byte offset. */
  readonly numbers: readonly number[];
  /** Of each part. */
  readonly memory: ArrayBufferLike[];
}

/** @throws {Error} when a part lacks an input, or has it in a type or size that no graph takes. */
export function packSlices(slices: readonly SampleSlice[], layouts: readonly InputLayout[]): PackedSlices {
  const numbers: number[] = [];
  const memory: ArrayBufferLike[] = [];
  for (const { first, samples, bytes, tensors } of slices) {
    const tokens = tensors.get('token_mask')?.shape[1] ?? 0;
    numbers.push(first, samples, tokens);
    for (const layout of layouts) {
      const { name } = layout.input;
      const slice = tensors.get(name);
      if (!slice) throw new Error(`the request has no tensor ${name}`);
      const dtype = DTYPES.findIndex((known) => known === slice.dtype);
      const known = DTYPES[dtype];
      if (!known) throw new Error(`no graph takes ${slice.dtype}`);
      if (slice.byteLength !== lengthOf(known, layout, samples, tokens)) {
        throw new Error(`the tensor ${name} is not of the probe's shape`);
      }
      numbers.push(dtype, slice.byteOffset);
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
  return elements * SOURCE_BYTES[dtype];
}
