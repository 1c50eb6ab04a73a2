/** Checks the values of one slice in the worker, where they lie and in the dtypes in which they were sent. */
import { checkAttention, checkFinite, checkMask, type Fault, type Floats } from '../../probe/check-values.js';
import { bf16ToF32, f16ToF32 } from '../../wire/float-convert.js';
import { DTYPE_BYTES, type TensorSlice } from '../../wire/tensor.js';
import { type InputLayout, sampleBytes } from './input-layout.js';
import type { SampleSlice } from './sample-slice.js';

/** Consecutive tokens, [first, end). */
export type TokenSpan = readonly [first: number, end: number];

/** A slice without faults, apart from F16 attention that was not checked. */
export interface CheckedSlice {
  readonly samples: number;
  readonly tokens: number;
  /** The spans of unmasked tokens of each sample, at least one; undefined when no token of the slice is masked. */
  readonly spans: readonly (readonly TokenSpan[])[] | undefined;
  /** Each input's values, in the order of the graph's inputs: bytes in the graph's dtype, or floats to convert to it. */
  readonly values: readonly (Uint8Array | Float32Array)[];
}

/**
 * Returns the first fault, if any.
 * @param isExact whether F16 attention for an F16 graph is checked too. The kernel checks it for a whole batch at less cost.
 * @throws {Error} when the slice lacks an input, or the input's dtype or size does not fit the probe.
 */
export function checkSlice(
  slice: SampleSlice,
  layouts: readonly InputLayout[],
  isExact: boolean,
): CheckedSlice | { readonly fault: Fault } {
  const { first, samples } = slice;
  // [samples, tokens]
  const mask = bytesOf(slice, tensorOf(slice, 'token_mask'));
  const tokens = mask.length / samples;
  let fault = checkMask(mask, tokens, first);
  const values: (Uint8Array | Float32Array)[] = [];
  for (const layout of layouts) {
    if (fault) break;
    const { name, dtype, shape } = layout.input;
    const tensor = tensorOf(slice, name);
    const elements = (samples * sampleBytes(layout, tokens)) / DTYPE_BYTES[dtype];
    if (tensor.byteLength !== elements * DTYPE_BYTES[tensor.dtype])
      throw new Error(`the tensor ${name} does not have the probe's shape`);
    const isConverted = tensor.dtype !== dtype;
    const isAttention = name === 'attention';
    const isCheckedLater = isAttention && dtype === 'F16' && !isConverted && !isExact;
    const floats = isCheckedLater ? undefined : floatsOf(slice, tensor, !isConverted && !isAttention);
    if (isConverted && !(floats && ['F16', 'F32'].includes(dtype)))
      throw new Error(`${name} must be ${dtype}`);
    if (floats instanceof Float32Array && isAttention) {
      const [, layers = 0, , height = 0, width = 0] = shape.map(Number);
      fault = checkAttention(floats, mask, { first, samples, layers, tokens, height, width });
    } else if (floats) fault = checkFinite(floats, mask, layout.input, { first, samples, tokens });
    const isTaken = isConverted && floats instanceof Float32Array;
    values.push(isTaken ? floats : bytesOf(slice, tensor));
  }
  if (fault) return { fault };
  const spansOf = (_: unknown, sample: number): TokenSpan[] =>
    unmaskedSpans(mask.subarray(sample * tokens, (sample + 1) * tokens));
  const spans = mask.includes(0) ? Array.from({ length: samples }, spansOf) : undefined;
  return { samples, tokens, spans, values };
}

function tensorOf({ tensors }: SampleSlice, name: string): TensorSlice {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`the request has no tensor ${name}`);
  return tensor;
}

function bytesOf({ bytes }: SampleSlice, { byteOffset, byteLength }: TensorSlice): Uint8Array {
  return new Uint8Array(bytes, byteOffset, byteLength);
}

/** The values as float32, or F16 as its bits on request; undefined for integers. */
function floatsOf({ bytes }: SampleSlice, tensor: TensorSlice, keepsBits: boolean): Floats | undefined {
  const { dtype, byteLength } = tensor;
  if (dtype !== 'F16' && dtype !== 'BF16' && dtype !== 'F32') return undefined;
  const elementBytes = DTYPE_BYTES[dtype];
  let { byteOffset } = tensor;
  // A view must start at a multiple of its element size; other data is copied.
  if (byteOffset % elementBytes !== 0) {
    bytes = bytes.slice(byteOffset, byteOffset + byteLength);
    byteOffset = 0;
  }
  if (dtype === 'F32') return new Float32Array(bytes, byteOffset, byteLength / elementBytes);
  const bits = new Uint16Array(bytes, byteOffset, byteLength / elementBytes);
  if (dtype === 'BF16') return bf16ToF32(bits);
  return keepsBits ? bits : f16ToF32(bits);
}

function unmaskedSpans(mask: Uint8Array): TokenSpan[] {
  const spans: TokenSpan[] = [];
  for (let end = 0; end < mask.length; end += 1) {
    const first = end;
    while (mask[end] === 1) end += 1;
    if (end > first) spans.push([first, end]);
  }
  return spans;
}
