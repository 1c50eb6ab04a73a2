/**
 * Writes checked slices into one batch: one after the other in the batch memory, in the graph's dtypes, padded to a common number
 * of tokens, masked tokens as zero. The copy is needed, because ONNX Runtime does not take shared memory on every Node.
 */
import type { ManifestInput } from '../../probe/manifest.js';
import { f32ToF16 } from '../../wire/float-convert.js';
import type { BatchMemory } from './batch-memory.js';
import type { CheckedSlice } from './check-slice.js';
import { type InputLayout, sampleBytes } from './input-layout.js';
import { ORT_TYPES } from './protocol.js';

/** Every tensor of a batch starts at a multiple of this: the size of a cache line. */
const ALIGNMENT_BYTES = 64;

/**
 * On CUDA a batch has 1, 2, 4, ... samples and a multiple of this number of tokens. ONNX Runtime searches for the fastest
 * convolution again for each shape that is new to a session, and its arena grows with each. See docs/adr/0018-cuda-per-batch.md.
 */
const PADDED_TOKENS_STEP = 16;

/** The array type of each dtype. F16 values are handled as their bits. */
const ARRAYS = { F16: Uint16Array, F32: Float32Array, U8: Uint8Array, I64: BigInt64Array } as const;

/**
 * One input of a run: a plain object instead of ort.Tensor, since from Node 24 on, a float16 Tensor loses its data before it
 * reaches the binding, which takes plain objects for every type. https://github.com/microsoft/onnxruntime/issues/26791
 */
export interface Feed {
  readonly type: (typeof ORT_TYPES)[ManifestInput['dtype']];
  readonly dims: readonly number[];
  readonly data: InstanceType<(typeof ARRAYS)[ManifestInput['dtype']]>;
  readonly location: 'cpu';
}

/** The inputs of a run by name. */
export type Feeds = Readonly<Record<string, Feed>>;

/**
 * Writes all samples of the slices, in order. The result is valid until the next batch is assembled in the memory.
 * @param isPadded whether samples and tokens are padded with zeros to one of a few shapes.
 */
export function assembleBatch(
  slices: readonly CheckedSlice[],
  layouts: readonly InputLayout[],
  memory: BatchMemory,
  isPadded = false,
): Feeds {
  let samples = slices.reduce((sum, slice) => sum + slice.samples, 0);
  // Tokens up to the last unmasked one of any sample.
  const ends = slices.flatMap((slice) => slice.spans?.map((own) => own.at(-1)![1]) ?? slice.tokens);
  let tokens = Math.max(...ends);
  if (isPadded) {
    samples = 2 ** Math.ceil(Math.log2(samples));
    tokens = Math.ceil(tokens / PADDED_TOKENS_STEP) * PADDED_TOKENS_STEP;
  }
  let size = 0;
  const places = layouts.map((layout) => {
    const place = { start: size, bytes: samples * sampleBytes(layout, tokens) };
    size += Math.ceil(place.bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return place;
  });
  const buffer = memory.reserve(size);
  const feeds: Record<string, Feed> = {};
  for (const [index, layout] of layouts.entries()) {
    const { start, bytes } = places[index]!;
    const target = new Uint8Array(buffer, start, bytes);
    let end = 0;
    for (const slice of slices) {
      const from = end;
      end += slice.samples * sampleBytes(layout, tokens);
      writeValues(slice, slice.values[index]!, layout, target.subarray(from, end), tokens);
    }
    target.fill(0, end);
    const { name, dtype, shape } = layout.input;
    const dims = shape.map((axis) => (axis === 'batch' ? samples : axis === 'tokens' ? tokens : axis));
    const data = new ARRAYS[dtype](buffer, start, bytes / ARRAYS[dtype].BYTES_PER_ELEMENT);
    feeds[name] = { type: ORT_TYPES[dtype], dims, data, location: 'cpu' };
  }
  return feeds;
}

/** Writes one input of a slice: only its unmasked tokens, when it has tokens; the other bytes are set to zero. */
function writeValues(
  { samples, tokens: ownTokens, spans }: CheckedSlice,
  values: CheckedSlice['values'][number],
  { input: { dtype }, hasTokens, blocks, tokenBytes }: InputLayout,
  target: Uint8Array,
  tokens: number,
): void {
  if (!hasTokens || (ownTokens === tokens && !spans)) return target.set(bytesAs(dtype, values));
  const tokenLength = values.length / (samples * blocks * ownTokens);
  let written = 0;
  for (let block = 0; block < samples * blocks; block += 1) {
    const from = block * ownTokens;
    for (const [first, end] of spans?.[Math.floor(block / blocks)] ?? [[0, ownTokens]]) {
      const span = values.subarray((from + first) * tokenLength, (from + end) * tokenLength);
      const to = (block * tokens + first) * tokenBytes;
      target.fill(0, written, to);
      target.set(bytesAs(dtype, span), to);
      written = to + (end - first) * tokenBytes;
    }
  }
  target.fill(0, written);
}

/** The bytes of values in the graph's dtype. */
function bytesAs(dtype: ManifestInput['dtype'], values: CheckedSlice['values'][number]): Uint8Array {
  if (values instanceof Uint8Array) return values;
  const floats = dtype === 'F16' ? f32ToF16(values) : values;
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}
