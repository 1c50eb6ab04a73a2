/**
 * Assembles converted slices into one batch: one after the other in the batch memory, padded to a common number of tokens,
 * masked tokens set to zero. The copy is needed, because ONNX Runtime does not take shared memory on every Node.
 */
import type { ManifestInput } from '../../probe/manifest.js';
import type { BatchMemory } from './batch-memory.js';
import type { ConvertedSlice } from './convert-slice.js';
import { type InputLayout, dimsOf, sampleBytes } from './input-layout.js';

/** Every tensor of a batch starts at a multiple of this: the size of a cache line. */
const ALIGNMENT_BYTES = 64;

/**
 * On CUDA a batch has 1, 2, 4, ... samples and a multiple of this number of tokens. ONNX Runtime searches for the fastest
 * convolution again for each shape that is new to a session, and its arena grows with each. See docs/adr/0018-cuda-per-batch.md.
 */
const PADDED_TOKENS_STEP = 16;

/** The array type of each dtype. F16 values are handled as their bits. */
const ARRAYS = { F16: Uint16Array, F32: Float32Array, U8: Uint8Array, I64: BigInt64Array } as const;

/** One input of a run, as ONNX Runtime's binding takes it. */
export interface Feed {
  readonly dtype: ManifestInput['dtype'];
  readonly dims: readonly number[];
  readonly data: InstanceType<(typeof ARRAYS)[ManifestInput['dtype']]>;
}

/** The inputs of a run by name. */
export type Feeds = Readonly<Record<string, Feed>>;

/**
 * Copies all samples of the slices, in order. The result is valid until the next batch is assembled in the memory.
 * @param isPadded whether samples and tokens are padded with zeros to one of a few shapes.
 */
export function assembleBatch(
  slices: readonly ConvertedSlice[],
  layouts: readonly InputLayout[],
  memory: BatchMemory,
  isPadded = false,
): Feeds {
  let samples = slices.reduce((sum, slice) => sum + slice.samples, 0);
  let tokens = slices.reduce((most, slice) => Math.max(most, slice.usedTokens), 0);
  if (isPadded) {
    samples = 2 ** Math.ceil(Math.log2(samples));
    tokens = Math.ceil(tokens / PADDED_TOKENS_STEP) * PADDED_TOKENS_STEP;
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
    copyInput(slices, index, layout, new Uint8Array(buffer, start, bytes), tokens);
    const { name, dtype } = layout.input;
    const data = new ARRAYS[dtype](buffer, start, bytes / layout.elementBytes);
    feeds[name] = { dtype, dims: dimsOf(layout, samples, tokens), data };
  }
  return feeds;
}

function copyInput(
  slices: readonly ConvertedSlice[],
  index: number,
  layout: InputLayout,
  target: Uint8Array,
  tokens: number,
): void {
  let start = 0;
  for (const slice of slices) {
    const values = slice.values[index]!;
    // The values can be copied at once when no token has to be padded or set to zero.
    if (!layout.hasTokens || (slice.tokens === tokens && !slice.realTokens)) target.set(values, start);
    else copyTokens(slice, values, layout, target.subarray(start), tokens);
    start += slice.samples * sampleBytes(layout, tokens);
  }
  target.fill(0, start);
}

/** Copies each span of real tokens and sets the bytes between and after the spans to zero. */
function copyTokens(
  { samples, tokens: ownTokens, realTokens }: ConvertedSlice,
  values: Uint8Array,
  { blocks, tokenBytes }: InputLayout,
  target: Uint8Array,
  tokens: number,
): void {
  for (let block = 0; block < samples * blocks; block += 1) {
    const from = block * ownTokens * tokenBytes;
    const to = block * tokens * tokenBytes;
    let written = 0;
    for (const [first, end] of realTokens?.[Math.floor(block / blocks)] ?? [[0, ownTokens]]) {
      target.fill(0, to + written * tokenBytes, to + first * tokenBytes);
      const span = values.subarray(from + first * tokenBytes, from + end * tokenBytes);
      target.set(span, to + first * tokenBytes);
      written = end;
    }
    target.fill(0, to + written * tokenBytes, to + tokens * tokenBytes);
  }
}
