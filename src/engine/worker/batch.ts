/**
 * Owns how parts become one batch: laid one after the other into the batch memory, brought to a common token count,
 * masked tokens zeroed. Values are copied once, in whole stretches: out of the memory that is shared with the event loop,
 * which ONNX Runtime does not take on every Node.
 */
import type { BatchMemory } from './batch-memory.js';
import { type InputLayout, dimsOf, sampleBytes } from './input-layout.js';
import type { ManifestInput } from '../../probe/manifest.js';
import type { ReadySlice } from './slice.js';

/** Every tensor of a batch starts at a multiple of this: a line of the cache. */
const ALIGNMENT_BYTES = 64;

/** Halves are kept as their bits. */
export type GraphArray = Uint16Array | Float32Array | Uint8Array | BigInt64Array;

/** One input of a run, as ONNX Runtime's binding takes it. */
export interface Feed {
  readonly dtype: ManifestInput['dtype'];
  readonly dims: readonly number[];
  readonly data: GraphArray;
}

export interface LaidBatch {
  readonly samples: number;
  readonly feeds: Readonly<Record<string, Feed>>;
}

/** Lays all samples of the parts, in order. The batch is good until the next one is laid into the memory. */
export function layBatch(
  slices: readonly ReadySlice[],
  layouts: readonly InputLayout[],
  memory: BatchMemory,
): LaidBatch {
  let samples = 0;
  let tokens = 0;
  for (const slice of slices) {
    samples += slice.samples;
    tokens = Math.max(tokens, slice.usedTokens);
  }
  let end = 0;
  const places = layouts.map((layout) => {
    const place = { start: end, bytes: samples * sampleBytes(layout, tokens) };
    end += Math.ceil(place.bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return place;
  });
  const buffer = memory.reserve(end);
  const feeds: Record<string, Feed> = {};
  for (const [index, layout] of layouts.entries()) {
    const { start, bytes } = places[index]!;
    layInput(slices, index, layout, new Uint8Array(buffer, start, bytes), tokens);
    const { name, dtype } = layout.input;
    const data = view(dtype, buffer, start, bytes / layout.elementBytes);
    feeds[name] = { dtype, dims: dimsOf(layout, samples, tokens), data };
  }
  return { samples, feeds };
}

function layInput(
  slices: readonly ReadySlice[],
  index: number,
  layout: InputLayout,
  target: Uint8Array,
  tokens: number,
): void {
  let start = 0;
  for (const slice of slices) {
    const values = slice.values[index]!;
    // Without a token axis there is nothing to pad; with one, every token must be real and none too few.
    if (!layout.hasTokens || (slice.tokens === tokens && !slice.realTokens)) target.set(values, start);
    else layTokens(slice, values, layout, target.subarray(start), tokens);
    start += slice.samples * sampleBytes(layout, tokens);
  }
}

/** Copies each run of real tokens and clears what is between and behind them. */
function layTokens(
  { samples, tokens: ownTokens, realTokens }: ReadySlice,
  values: Uint8Array,
  { blocks, tokenBytes }: InputLayout,
  target: Uint8Array,
  tokens: number,
): void {
  for (let block = 0; block < samples * blocks; block += 1) {
    const from = block * ownTokens * tokenBytes;
    const to = block * tokens * tokenBytes;
    let laid = 0;
    for (const [first, end] of realTokens?.[Math.floor(block / blocks)] ?? [[0, ownTokens]]) {
      target.fill(0, to + laid * tokenBytes, to + first * tokenBytes);
      target.set(
        values.subarray(from + first * tokenBytes, from + end * tokenBytes),
        to + first * tokenBytes,
      );
      laid = end;
    }
    target.fill(0, to + laid * tokenBytes, to + tokens * tokenBytes);
  }
}

function view(
  dtype: ManifestInput['dtype'],
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): GraphArray {
  switch (dtype) {
    case 'F16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'F32':
      return new Float32Array(buffer, byteOffset, length);
    case 'U8':
      return new Uint8Array(buffer, byteOffset, length);
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, length);
  }
}
