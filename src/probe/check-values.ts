/**
 * Checks the values of a request's tensors, which shapes alone cannot guarantee. Values of masked tokens are ignored.
 * Each check returns the first fault that it finds, or undefined. The engine's workers run them.
 */
import type { ErrorCode, ProblemExtra } from '../errors.js';
import { f16ToNumber } from '../wire/float-convert.js';
import type { ManifestInput } from './manifest.js';

/** The largest sum of attention over the tokens at one layer and position: 1, with an allowance for rounding. */
export const MAX_MASS = 1.01;

const F16_EXPONENT = 0x7c00;
/** F32 values from this size on round to infinity as F16: half a step above the largest F16. */
const F16_INFINITE_FROM = 65_520;
const NONE = -1;

/** A ProblemError as plain data. `received` is never NaN or infinite, so that it survives JSON too. */
export interface Fault extends Omit<ProblemExtra, 'cause'> {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** Attention as [samples, layers, tokens, height, width]. */
export interface AttentionShape {
  /** The index of the first sample in the request; faults count samples from it. */
  readonly first: number;
  readonly samples: number;
  readonly layers: number;
  readonly tokens: number;
  readonly height: number;
  readonly width: number;
}

/** The bits of F16 values, or F32 values. */
export type Floats = Uint16Array | Float32Array;

/** A mask [samples, tokens] of 0 and 1 with at least one real token per sample; `first` as in AttentionShape. */
export function checkMask(mask: Uint8Array, tokens: number, first: number): Fault | undefined {
  for (let start = 0; start < mask.length; start += tokens) {
    const row = mask.subarray(start, start + tokens);
    const wrong = row.findIndex((value) => value > 1);
    if (wrong === NONE && row.includes(1)) continue;
    const what = wrong === NONE ? `masks all of its ${tokens} tokens` : `is ${row[wrong]} at token ${wrong}`;
    const detail = `The token_mask of sample ${first + start / tokens} ${what}.`;
    const expected = wrong === NONE ? 'at least one token that is not masked' : '0 or 1';
    return faultOf('invalid_token_mask', 'token_mask', detail, row[wrong] ?? 0, expected);
  }
  return undefined;
}

/** Probabilities in [0, 1] whose sum over unmasked tokens is at most MAX_MASS at each layer and position. */
export function checkAttention(
  values: Float32Array,
  mask: Uint8Array,
  { first, samples, layers, tokens, height, width }: AttentionShape,
): Fault | undefined {
  const area = height * width;
  const mass = new Float64Array(area);
  let start = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    for (let layer = 0; layer < layers; layer += 1) {
      const subject = (): string => `The attention of sample ${first + sample}, layer ${layer}`;
      mass.fill(0);
      for (let token = 0; token < tokens; token += 1, start += area) {
        if (mask[sample * tokens + token] === 0) continue;
        const wrong = addFloats(values, start, mass);
        if (wrong === NONE) continue;
        const value = values[start + wrong]!;
        const code = Number.isFinite(value) ? 'attention_out_of_range' : 'attention_not_finite';
        const detail = `${subject()}, token ${token} is ${value} ${pixel(wrong, width)}.`;
        return faultOf(code, 'attention', detail, value, 'a probability in [0, 1]');
      }
      const heavy = firstHeavy(mass);
      if (heavy === NONE) continue;
      const detail = `${subject()} sums to ${mass[heavy]} over its tokens ${pixel(heavy, width)}.`;
      return faultOf('attention_mass', 'attention', detail, mass[heavy]!, `at most ${MAX_MASS}`);
    }
  }
  return undefined;
}

/**
 * Unmasked values of any other input must be finite, also after conversion to the dtype that the graph takes.
 * @param values [samples, ...] in the shape of the input.
 */
export function checkFinite(
  values: Floats,
  mask: Uint8Array,
  { name, dtype, shape }: ManifestInput,
  { first, samples, tokens }: Pick<AttentionShape, 'first' | 'samples' | 'tokens'>,
): Fault | undefined {
  const isHalf = values instanceof Uint16Array;
  const limit = dtype === 'F16' ? F16_INFINITE_FROM : Infinity;
  const tokenAxis = shape.indexOf('tokens');
  const hasTokens = tokenAxis !== -1;
  // A row is what lies behind the token axis.
  const outer = shape.slice(1, Math.max(1, tokenAxis)).map(Number);
  const rowsPerSample = hasTokens ? outer.reduce((product, size) => product * size, tokens) : 1;
  const rowLength = values.length / (samples * rowsPerSample);
  for (let start = 0, row = 0; start < values.length; start += rowLength, row += 1) {
    const sample = Math.floor(row / rowsPerSample);
    if (hasTokens && mask[sample * tokens + (row % tokens)] === 0) continue;
    for (let index = start; index < start + rowLength; index += 1) {
      const value = values[index]!;
      // NaN is below no limit.
      if (isHalf ? (value & F16_EXPONENT) !== F16_EXPONENT : Math.abs(value) < limit) continue;
      const received = isHalf ? f16ToNumber(value) : value;
      const detail = `The tensor "${name}" of sample ${first + sample} holds ${received}, which is not finite as ${dtype}.`;
      return faultOf('value_not_finite', name, detail, received, 'finite values');
    }
  }
  return undefined;
}

function faultOf(code: ErrorCode, field: string, detail: string, received: number, expected: string): Fault {
  return { code, detail, field, received: printable(received), expected };
}

/** A number as JSON can hold it: NaN and infinities become text. */
export function printable(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

// The loops below process every element, so they read each one once and make no calls.

function addFloats(values: Float32Array, start: number, mass: Float64Array): number {
  for (let position = 0; position < mass.length; position += 1) {
    const value = values[start + position]!;
    // The negation makes NaN fail too.
    if (!(value >= 0 && value <= 1)) return position;
    mass[position]! += value;
  }
  return NONE;
}

function firstHeavy(mass: Float64Array): number {
  for (let position = 0; position < mass.length; position += 1) {
    if (mass[position]! > MAX_MASS) return position;
  }
  return NONE;
}

function pixel(position: number, width: number): string {
  return `at row ${Math.floor(position / width)}, column ${position % width}`;
}
