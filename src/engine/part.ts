/** Owns what becomes of one request's part in the worker: checked, brought to the graph's types, ready to be laid into a batch. */
import type { TensorSlice } from '../wire/tensor.js';
import { type Floats, checkAttention, checkMask, firstNotFinite, valueAt } from './check.js';
import { type Fault, printable } from './fault.js';
import { bf16ToF32, f16ToF32, f32ToF16 } from './float-convert.js';
import type { ManifestInput } from './manifest.js';
import type { BatchPart } from './protocol.js';
import { usedTokens } from './slice-samples.js';

/** Halves are kept as their bits. */
export type GraphArray = Uint16Array | Float32Array | Uint8Array | BigInt64Array;

/** A part whose values are good. */
export interface ReadyPart {
  readonly first: number;
  readonly samples: number;
  readonly tokens: number;
  /** Tokens up to the last one that any sample has; what follows is padding and needs no room in the batch. */
  readonly usedTokens: number;
  /** [samples, tokens] */
  readonly mask: Uint8Array;
  readonly hasMasked: boolean;
  /** By input name, in the graph's dtype. */
  readonly arrays: ReadonlyMap<string, GraphArray>;
}

/** Checks a part's values and converts them; the first fault stands for all. */
export function readyPart(part: BatchPart, inputs: readonly ManifestInput[]): ReadyPart | { fault: Fault } {
  const { samples } = part;
  const maskSlice = sliceOf(part, 'token_mask');
  const tokens = maskSlice.shape[1] ?? 0;
  const mask = new Uint8Array(part.bytes, maskSlice.byteOffset, maskSlice.byteLength);
  const maskFault = checkMask(mask, tokens, part.first);
  if (maskFault) return { fault: maskFault };

  const arrays = new Map<string, GraphArray>();
  for (const input of inputs) {
    const slice = sliceOf(part, input.name);
    const floats = floatsOf(part.bytes, slice);
    const fault = floats && checkFloats(input, slice, floats, mask, part.first);
    if (fault) return { fault };
    arrays.set(input.name, floats ? toGraphFloats(floats, input) : integersOf(part.bytes, slice));
  }
  const hasMasked = mask.includes(0);
  return { first: part.first, samples, tokens, usedTokens: usedTokens(part), mask, hasMasked, arrays };
}

function sliceOf(part: BatchPart, name: string): TensorSlice {
  const slice = part.tensors.get(name);
  if (!slice) throw new Error(`the part has no tensor ${name}`);
  return slice;
}

/** BF16 becomes float32 at once: nothing later knows of it. Undefined for integers. */
function floatsOf(
  bytes: ArrayBufferLike,
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

function integersOf(bytes: ArrayBufferLike, { dtype, byteOffset, byteLength }: TensorSlice): GraphArray {
  if (dtype === 'U8') return new Uint8Array(bytes, byteOffset, byteLength);
  if (dtype === 'I64') return new BigInt64Array(...aligned(bytes, byteOffset, byteLength, 8));
  throw new Error(`no graph takes ${dtype}`);
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

function toGraphFloats(floats: Floats, { name, dtype }: ManifestInput): GraphArray {
  const isHalf = floats instanceof Uint16Array;
  if (dtype === 'F16') return isHalf ? floats : f32ToF16(floats);
  if (dtype === 'F32') return isHalf ? f16ToF32(floats) : floats;
  throw new Error(`${name} must be ${dtype}`);
}

function checkFloats(
  input: ManifestInput,
  slice: TensorSlice,
  floats: Floats,
  mask: Uint8Array,
  first: number,
): Fault | undefined {
  if (input.name !== 'attention') return checkFinite(input, slice, floats, mask, first);
  const [samples = 0, layers = 0, tokens = 0, height = 0, width = 0] = slice.shape;
  return checkAttention(floats, mask, { first, samples, layers, tokens, height, width });
}

/** An unmasked value must be finite, also as the half that the graph may want. */
function checkFinite(
  input: ManifestInput,
  { shape }: TensorSlice,
  floats: Floats,
  mask: Uint8Array,
  first: number,
): Fault | undefined {
  const graphFloats = toGraphFloats(floats, input);
  if (!(graphFloats instanceof Uint16Array || graphFloats instanceof Float32Array)) return undefined;
  const tokenAxis = input.shape.indexOf('tokens');
  const samples = shape[0] ?? 0;
  const tokens = tokenAxis === -1 ? 1 : (shape[tokenAxis] ?? 0);
  const rowLength = tokenAxis === -1 ? floats.length / samples : product(shape.slice(tokenAxis + 1));
  const rowsPerSample = floats.length / rowLength / samples;
  for (let start = 0, row = 0; start < floats.length; start += rowLength, row += 1) {
    const sample = Math.floor(row / rowsPerSample);
    if (tokenAxis !== -1 && mask[sample * tokens + (row % tokens)] === 0) continue;
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

function product(factors: readonly number[]): number {
  return factors.reduce((result, factor) => result * factor, 1);
}
