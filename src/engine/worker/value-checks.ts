/**
 * Checks of single values in the worker, which shapes alone cannot guarantee. Values of masked tokens are ignored.
 * Each check returns the first fault that it finds, or undefined.
 */
import { F16_VALUES } from '../../wire/float-convert.js';
import type { InputLayout } from './input-layout.js';
import type { Fault } from './protocol.js';

/** The largest sum of attention over the tokens at one layer and position: 1, with an allowance for rounding. */
export const MAX_MASS = 1.01;

/** 1.0 in F16: every F16 in [0, 1] except -0 has bits up to this value. */
const F16_ONE = 0x3c00;
const F16_NEGATIVE_ZERO = 0x8000;
const F16_EXPONENT = 0x7c00;
/** F32 values from this size on round to infinity as F16: half a step above the largest F16. */
const F16_INFINITE_FROM = 65_520;
const NONE = -1;

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
    const sample = first + start / tokens;
    const wrong = row.findIndex((value) => value > 1);
    if (wrong !== NONE) return maskFault(sample, `is ${row[wrong]} at token ${wrong}`, row[wrong]!, '0 or 1');
    if (!row.includes(1))
      return maskFault(
        sample,
        `masks all of its ${tokens} tokens`,
        0,
        'at least one token that is not masked',
      );
  }
  return undefined;
}

function maskFault(sample: number, what: string, received: number, expected: string): Fault {
  const detail = `The token_mask of sample ${sample} ${what}.`;
  return { code: 'invalid_token_mask', detail, field: 'token_mask', received, expected };
}

/** Probabilities in [0, 1] whose sum over unmasked tokens is at most MAX_MASS at each layer and position. */
export function checkAttention(values: Floats, mask: Uint8Array, shape: AttentionShape): Fault | undefined {
  const { first, samples, layers, tokens, height, width } = shape;
  const area = height * width;
  const mass = new Float64Array(area);
  let start = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    for (let layer = 0; layer < layers; layer += 1) {
      mass.fill(0);
      for (let token = 0; token < tokens; token += 1, start += area) {
        if (mask[sample * tokens + token] === 0) continue;
        const wrong =
          values instanceof Uint16Array ? addHalves(values, start, mass) : addFloats(values, start, mass);
        if (wrong !== NONE) {
          const value = valueAt(values, start + wrong);
          const code = Number.isFinite(value) ? 'attention_out_of_range' : 'attention_not_finite';
          const detail = `The attention of sample ${first + sample}, layer ${layer}, token ${token} is ${value} ${pixel(wrong, width)}.`;
          const [received, expected] = [printable(value), 'a probability in [0, 1]'];
          return { code, detail, field: 'attention', received, expected };
        }
      }
      const heavy = firstHeavy(mass);
      if (heavy !== NONE) {
        const [sum, at] = [mass[heavy]!, pixel(heavy, width)];
        const detail = `The attention of sample ${first + sample}, layer ${layer} sums to ${sum} over its tokens ${at}.`;
        const expected = `at most ${MAX_MASS}`;
        return { code: 'attention_mass', detail, field: 'attention', received: sum, expected };
      }
    }
  }
  return undefined;
}

/**
 * Unmasked values of any other input must be finite, also after conversion to the dtype that the graph takes.
 * @param values [samples, ...] as the layout's input.
 */
export function checkFinite(
  values: Floats,
  mask: Uint8Array,
  { input: { name, dtype }, hasTokens, blocks }: InputLayout,
  { first, samples, tokens }: Pick<AttentionShape, 'first' | 'samples' | 'tokens'>,
): Fault | undefined {
  const limit = dtype === 'F16' ? F16_INFINITE_FROM : Infinity;
  const rowsPerSample = hasTokens ? tokens * blocks : 1;
  const rowLength = values.length / (samples * rowsPerSample);
  for (let start = 0, row = 0; start < values.length; start += rowLength, row += 1) {
    const sample = Math.floor(row / rowsPerSample);
    if (hasTokens && mask[sample * tokens + (row % tokens)] === 0) continue;
    const wrong = firstNotFinite(values, start, start + rowLength, limit);
    if (wrong === undefined) continue;
    const value = valueAt(values, wrong);
    const detail = `The tensor "${name}" of sample ${first + sample} holds ${value}, which is not finite as ${dtype}.`;
    const [received, expected] = [printable(value), 'finite values'];
    return { code: 'value_not_finite', detail, field: name, received, expected };
  }
  return undefined;
}

/** The index of the first value in [from, to) that is not finite or, of F32, not below the limit; undefined if there is none. */
export function firstNotFinite(
  values: Floats,
  from: number,
  to: number,
  limit = Infinity,
): number | undefined {
  const isHalf = values instanceof Uint16Array;
  for (let index = from; index < to; index += 1) {
    const value = values[index]!;
    // The negation makes NaN fail too.
    if (isHalf ? (value & F16_EXPONENT) === F16_EXPONENT : !(Math.abs(value) < limit)) return index;
  }
  return undefined;
}

/** The element as a number. */
export function valueAt(values: Floats, index: number): number {
  const value = values[index] ?? NaN;
  return values instanceof Uint16Array ? (F16_VALUES[value] ?? NaN) : value;
}

/** A number as JSON can hold it: NaN and infinities become text. */
export function printable(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

// The loops below process every element, so they read each one once, compare bits where possible and make no calls.

function addHalves(values: Uint16Array, start: number, mass: Float64Array): number {
  for (let position = 0; position < mass.length; position += 1) {
    const bits = values[start + position]!;
    if (bits > F16_ONE && bits !== F16_NEGATIVE_ZERO) return position;
    mass[position]! += F16_VALUES[bits]!;
  }
  return NONE;
}

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
