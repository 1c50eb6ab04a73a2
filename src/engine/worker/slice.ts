/** Owns what becomes of one request's part in the worker: checked, brought to the graph's types, ready to be laid into a batch. */
import { type Floats, checkAttention, checkMask, firstNotFinite, valueAt } from './check.js';
import { type Fault, printable } from './fault.js';
import { bf16ToF32, f16ToF32, f32ToF16 } from '../../wire/float-convert.js';
import type { InputLayout } from './input-layout.js';
import type { ManifestInput } from '../../probe/manifest.js';
import type { SliceTensor, UnpackedSlice } from './packing.js';
import { type TokenRun, runsOfReal } from './token-runs.js';

/** A part whose values are good, but for attention that is still to be checked. */
export interface ReadySlice {
  readonly samples: number;
  readonly tokens: number;
  /** Tokens up to the last one that any sample has; what follows is padding and needs no room in the batch. */
  readonly usedTokens: number;
  /** Where each sample has real tokens; undefined where every token of every sample is real. */
  readonly realTokens: readonly (readonly TokenRun[])[] | undefined;
  /** Each input's values in the graph's dtype, in the order of the graph's inputs. */
  readonly values: readonly Uint8Array[];
  /** Set where the attention goes to the graph as it came: it can be checked where it lies in the batch. */
  readonly unchecked: UnpackedSlice | undefined;
}

/** Checks a part's values and converts them; the first fault stands for all. */
export function readySlice(
  slice: UnpackedSlice,
  layouts: readonly InputLayout[],
): ReadySlice | { fault: Fault } {
  const mask = maskOf(slice, layouts);
  const maskFault = checkMask(mask, slice.tokens, slice.first);
  if (maskFault) return { fault: maskFault };

  let unchecked: UnpackedSlice | undefined;
  const values: Uint8Array[] = [];
  for (const [index, layout] of layouts.entries()) {
    const tensor = slice.tensors[index]!;
    const asItIs = new Uint8Array(slice.bytes, tensor.byteOffset, tensor.byteLength);
    if (layout.input.name === 'attention' && tensor.dtype === 'F16' && layout.input.dtype === 'F16') {
      unchecked = slice;
      values.push(asItIs);
      continue;
    }
    const floats = floatsOf(slice.bytes, tensor);
    const fault = floats && checkFloats(slice, layout, floats, mask);
    if (fault) return { fault };
    values.push(tensor.dtype === layout.input.dtype ? asItIs : converted(floats, layout.input));
  }
  const { samples, tokens } = slice;
  return { samples, tokens, ...runsOfReal(mask, tokens), values, unchecked };
}

/** What readySlice has left out. */
export function uncheckedFault(
  { unchecked: slice }: ReadySlice,
  layouts: readonly InputLayout[],
): Fault | undefined {
  if (!slice) return undefined;
  const index = layouts.findIndex(({ input }) => input.name === 'attention');
  const floats = floatsOf(slice.bytes, slice.tensors[index]!);
  return floats && checkFloats(slice, layouts[index]!, floats, maskOf(slice, layouts));
}

/** [samples, tokens] */
function maskOf({ bytes, tensors }: UnpackedSlice, layouts: readonly InputLayout[]): Uint8Array {
  const index = layouts.findIndex(({ input }) => input.name === 'token_mask');
  const { byteOffset, byteLength } = tensors[index]!;
  return new Uint8Array(bytes, byteOffset, byteLength);
}

/** BF16 becomes float32 at once: nothing later knows of it. Undefined for integers. */
function floatsOf(
  bytes: ArrayBufferLike,
  { dtype, byteOffset, byteLength }: SliceTensor,
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

/** The arguments of a typed-array view; a view must start at a multiple of its element size, so others are copied. */
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

function converted(floats: Floats | undefined, input: ManifestInput): Uint8Array {
  if (!floats) throw new Error(`${input.name} must be ${input.dtype}`);
  const { buffer, byteOffset, byteLength } = toGraphFloats(floats, input);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function toGraphFloats(floats: Floats, { name, dtype }: ManifestInput): Floats {
  const isHalf = floats instanceof Uint16Array;
  if (dtype === 'F16') return isHalf ? floats : f32ToF16(floats);
  if (dtype === 'F32') return isHalf ? f16ToF32(floats) : floats;
  throw new Error(`${name} must be ${dtype}`);
}

function checkFloats(
  { first, samples, tokens }: UnpackedSlice,
  layout: InputLayout,
  floats: Floats,
  mask: Uint8Array,
): Fault | undefined {
  const { input } = layout;
  if (input.name !== 'attention') return checkFinite(layout, floats, mask, { first, samples, tokens });
  const [, layers = 0, , height = 0, width = 0] = input.shape.map(Number);
  return checkAttention(floats, mask, { first, samples, layers, tokens, height, width });
}

interface Extent {
  readonly first: number;
  readonly samples: number;
  readonly tokens: number;
}

/** An unmasked value must be finite, also as the half that the graph may want. */
function checkFinite(
  { input, hasTokens, blocks }: InputLayout,
  floats: Floats,
  mask: Uint8Array,
  { first, samples, tokens }: Extent,
): Fault | undefined {
  const graphFloats = toGraphFloats(floats, input);
  const rowsPerSample = hasTokens ? tokens * blocks : 1;
  const rowLength = floats.length / (samples * rowsPerSample);
  for (let start = 0, row = 0; start < floats.length; start += rowLength, row += 1) {
    const sample = Math.floor(row / rowsPerSample);
    if (hasTokens && mask[sample * tokens + (row % tokens)] === 0) continue;
    const wrong = firstNotFinite(graphFloats, start, start + rowLength);
    if (wrong !== undefined) return finiteFault(input, first + sample, valueAt(floats, wrong));
  }
  return undefined;
}

function finiteFault({ name, dtype }: ManifestInput, sample: number, value: number): Fault {
  return {
    code: 'value_not_finite',
    detail: `The tensor "${name}" of sample ${sample} holds ${value}, which is not finite as ${dtype}.`,
    field: name,
    received: printable(value),
    expected: 'finite values',
  };
}
