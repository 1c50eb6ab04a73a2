/** Checks the values of one slice in the worker and converts them to the graph's dtypes. */
import type { ManifestInput } from '../../probe/manifest.js';
import { bf16ToF32, f16ToF32, f32ToF16 } from '../../wire/float-convert.js';
import { DTYPE_BYTES, type TensorSlice } from '../../wire/tensor.js';
import { type InputLayout, sampleBytes } from './input-layout.js';
import type { Fault } from './protocol.js';
import type { SampleSlice } from './sample-slice.js';
import {
  type Floats,
  checkAttention,
  checkMask,
  firstNotFinite,
  printable,
  valueAt,
} from './value-checks.js';

/** Consecutive tokens, [first, end). */
export type TokenSpan = readonly [first: number, end: number];

/** A slice without faults, apart from attention that may be unchecked. */
export interface ConvertedSlice {
  readonly samples: number;
  readonly tokens: number;
  /** Tokens up to the last real one of any sample; the rest is padding and takes no room in the batch. */
  readonly usedTokens: number;
  /** The spans of real tokens of each sample; undefined when every token of every sample is real. */
  readonly realTokens: readonly (readonly TokenSpan[])[] | undefined;
  /** Each input's values in the graph's dtype, in the order of the graph's inputs. */
  readonly values: readonly Uint8Array[];
  /** Set when the attention needs no conversion: the batch as a whole is then checked at less cost. */
  readonly isAttentionUnchecked: boolean;
}

/**
 * Converts a slice, or returns the first fault of its values.
 * @throws {Error} when the slice lacks an input, or the input's dtype or size does not fit the probe.
 */
export function convertSlice(
  slice: SampleSlice,
  layouts: readonly InputLayout[],
): ConvertedSlice | { readonly fault: Fault } {
  const { samples } = slice;
  const mask = maskOf(slice);
  const tokens = mask.length / samples;
  const maskFault = checkMask(mask, tokens, slice.first);
  if (maskFault) return { fault: maskFault };

  let isAttentionUnchecked = false;
  const values: Uint8Array[] = [];
  for (const layout of layouts) {
    const { name, dtype } = layout.input;
    const tensor = tensorOf(slice, name);
    const elements = (samples * sampleBytes(layout, tokens)) / layout.elementBytes;
    if (tensor.byteLength !== elements * DTYPE_BYTES[tensor.dtype])
      throw new Error(`the tensor ${name} does not have the probe's shape`);
    if (name === 'attention' && tensor.dtype === 'F16' && dtype === 'F16') {
      isAttentionUnchecked = true;
      values.push(bytesOf(slice, tensor));
      continue;
    }
    const floats = floatsOf(slice, tensor);
    if (!floats && tensor.dtype === dtype) {
      values.push(bytesOf(slice, tensor));
      continue;
    }
    const graphFloats = toGraphFloats(floats, layout.input);
    const fault = floats && checkFloats(slice, layout, { floats, graphFloats }, mask);
    if (fault) return { fault };
    const { buffer, byteOffset, byteLength } = graphFloats;
    values.push(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return { samples, tokens, ...findRealTokens(mask, tokens), values, isAttentionUnchecked };
}

/** The check of the attention that convertSlice skips when it sets isAttentionUnchecked. */
export function attentionFault(slice: SampleSlice, layouts: readonly InputLayout[]): Fault | undefined {
  const layout = layouts.find(({ input }) => input.name === 'attention');
  const floats = layout && floatsOf(slice, tensorOf(slice, 'attention'));
  return floats && checkFloats(slice, layout, { floats, graphFloats: floats }, maskOf(slice));
}

function tensorOf({ tensors }: SampleSlice, name: string): TensorSlice {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the request has no tensor ${name}`);
  return tensor;
}

/** [samples, tokens] */
function maskOf(slice: SampleSlice): Uint8Array {
  return bytesOf(slice, tensorOf(slice, 'token_mask'));
}

function bytesOf({ bytes }: SampleSlice, { byteOffset, byteLength }: TensorSlice): Uint8Array {
  return new Uint8Array(bytes, byteOffset, byteLength);
}

/** The spans of real tokens in a mask [samples, tokens]. */
function findRealTokens(mask: Uint8Array, tokens: number): Pick<ConvertedSlice, 'usedTokens' | 'realTokens'> {
  if (!mask.includes(0)) return { usedTokens: tokens, realTokens: undefined };
  const realTokens: TokenSpan[][] = [];
  let usedTokens = 0;
  for (let start = 0; start < mask.length; start += tokens) {
    const spans = realSpans(mask, start, start + tokens);
    usedTokens = Math.max(usedTokens, spans.at(-1)?.[1] ?? 0);
    realTokens.push(spans);
  }
  return { usedTokens, realTokens };
}

function realSpans(mask: Uint8Array, start: number, end: number): TokenSpan[] {
  const spans: TokenSpan[] = [];
  let first = -1;
  for (let index = start; index <= end; index += 1) {
    const isReal = index < end && mask[index] === 1;
    if (isReal && first === -1) first = index;
    if (isReal || first === -1) continue;
    spans.push([first - start, index - start]);
    first = -1;
  }
  return spans;
}

/** F16 as bits; BF16 and F32 as float32; undefined for integers. */
function floatsOf(
  { bytes }: SampleSlice,
  { dtype, byteOffset, byteLength }: TensorSlice,
): Floats | undefined {
  switch (dtype) {
    case 'F16':
      return new Uint16Array(...aligned(bytes, byteOffset, byteLength, 2));
    case 'BF16':
      return bf16ToF32(new Uint16Array(...aligned(bytes, byteOffset, byteLength, 2)));
    case 'F32':
      return new Float32Array(...aligned(bytes, byteOffset, byteLength, 4));
    default:
      return undefined;
  }
}

/** The arguments of a typed-array view. A view must start at a multiple of its element size; other data is copied. */
function aligned(
  bytes: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
  elementBytes: number,
): [ArrayBufferLike, number, number] {
  const length = byteLength / elementBytes;
  if (byteOffset % elementBytes === 0) return [bytes, byteOffset, length];
  return [bytes.slice(byteOffset, byteOffset + byteLength), 0, length];
}

function toGraphFloats(floats: Floats | undefined, { name, dtype }: ManifestInput): Floats {
  const isHalf = floats instanceof Uint16Array;
  if (floats && dtype === 'F16') return isHalf ? floats : f32ToF16(floats);
  if (floats && dtype === 'F32') return isHalf ? f16ToF32(floats) : floats;
  throw new Error(`${name} must be ${dtype}`);
}

/** One input's values as they were sent, and as the graph takes them. */
interface InputFloats {
  readonly floats: Floats;
  readonly graphFloats: Floats;
}

function checkFloats(
  slice: SampleSlice,
  layout: InputLayout,
  values: InputFloats,
  mask: Uint8Array,
): Fault | undefined {
  const { input } = layout;
  if (input.name !== 'attention') return checkFinite(slice, layout, values, mask);
  const { first, samples } = slice;
  const tokens = mask.length / samples;
  const [, layers = 0, , height = 0, width = 0] = input.shape.map(Number);
  return checkAttention(values.floats, mask, { first, samples, layers, tokens, height, width });
}

/** Unmasked values must be finite, also after conversion to the F16 that the graph may take. */
function checkFinite(
  { first, samples }: SampleSlice,
  { input, hasTokens, blocks }: InputLayout,
  { floats, graphFloats }: InputFloats,
  mask: Uint8Array,
): Fault | undefined {
  const tokens = mask.length / samples;
  const rowsPerSample = hasTokens ? tokens * blocks : 1;
  const rowLength = floats.length / (samples * rowsPerSample);
  for (let start = 0, row = 0; start < floats.length; start += rowLength, row += 1) {
    const sample = Math.floor(row / rowsPerSample);
    if (hasTokens && mask[sample * tokens + (row % tokens)] === 0) continue;
    const wrong = firstNotFinite(graphFloats, start, start + rowLength);
    if (wrong === undefined) continue;
    const value = valueAt(floats, wrong);
    return {
      code: 'value_not_finite',
      detail: `The tensor "${input.name}" of sample ${first + sample} holds ${value}, which is not finite as ${input.dtype}.`,
      field: input.name,
      received: printable(value),
      expected: 'finite values',
    };
  }
  return undefined;
}
