/**
 * Owns the checks of values, element by element, in the worker: what a shape cannot show.
 * Masked tokens are ignored, whatever they hold. Each check gives the first fault it meets, or undefined.
 */
import type { Fault } from './fault.js';
import { printable } from './fault.js';
import { F16_VALUES } from '../../wire/float-convert.js';

/** What attention may sum to over the tokens at one layer and position: one, and room for rounding. */
export const MAX_MASS = 1.01;

/** 1.0 as a half: every finite half in [0, 1] has bits up to here, but for the negative zero. */
const F16_ONE = 0x3c00;
const F16_NEGATIVE_ZERO = 0x8000;
const F16_EXPONENT = 0x7c00;
const NONE = -1;

/** Attention as [samples, layers, tokens, height, width]. */
export interface AttentionShape {
  /** The index of the first sample in the request, to name samples by. */
  readonly first: number;
  readonly samples: number;
  readonly layers: number;
  readonly tokens: number;
  readonly height: number;
  readonly width: number;
}

/** The bits of halves, or float32 values. */
export type Floats = Uint16Array | Float32Array;

/** A mask [samples, tokens] of 0 and 1, with a real token in each sample; `first` as in AttentionShape. */
export function checkMask(mask: Uint8Array, tokens: number, first: number): Fault | undefined {
  for (let start = 0; start < mask.length; start += tokens) {
    const row = mask.subarray(start, start + tokens);
    const sample = first + start / tokens;
    const wrong = row.findIndex((value) => value > 1);
    if (wrong !== NONE) {
      return {
        code: 'invalid_token_mask',
        detail: `The token_mask of sample ${sample} is ${row[wrong]} at token ${wrong}.`,
        field: 'token_mask',
        received: row[wrong] ?? 0,
        expected: '0 or 1',
      };
    }
    if (!row.includes(1)) {
      return {
        code: 'invalid_token_mask',
        detail: `The token_mask of sample ${sample} masks all of its ${tokens} tokens.`,
        field: 'token_mask',
        received: 0,
        expected: 'at least one token that is not masked',
      };
    }
  }
  return undefined;
}

/** Probabilities in [0, 1] that sum, over unmasked tokens at each layer and position, to at most MAX_MASS. */
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
          return probabilityFault(valueAt(values, start + wrong), {
            sample: first + sample,
            layer,
            token,
            position: wrong,
            width,
          });
        }
      }
      const heavy = firstHeavy(mass);
      if (heavy !== NONE)
        return massFault(mass[heavy] ?? 0, { sample: first + sample, layer, position: heavy, width });
    }
  }
  return undefined;
}

/** The index of the first value that is not finite between two indices, or undefined. */
export function firstNotFinite(values: Floats, from: number, to: number): number | undefined {
  const isHalf = values instanceof Uint16Array;
  for (let index = from; index < to; index += 1) {
    const value = values[index]!;
    if (isHalf ? (value & F16_EXPONENT) === F16_EXPONENT : !Number.isFinite(value)) return index;
  }
  return undefined;
}

/** The number that an element stands for. */
export function valueAt(values: Floats, index: number): number {
  const value = values[index] ?? NaN;
  return values instanceof Uint16Array ? (F16_VALUES[value] ?? NaN) : value;
}

// The loops below see every element of every request: each reads it once, compares bits where it can, and calls nothing.

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
    // Written so that NaN fails too.
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

interface Place {
  readonly sample: number;
  readonly layer: number;
  readonly position: number;
  readonly width: number;
}

function probabilityFault(value: number, place: Place & { readonly token: number }): Fault {
  return {
    code: Number.isFinite(value) ? 'attention_out_of_range' : 'attention_not_finite',
    detail: `The attention of sample ${place.sample}, layer ${place.layer}, token ${place.token} is ${value} ${pixel(place)}.`,
    field: 'attention',
    received: printable(value),
    expected: 'a probability in [0, 1]',
  };
}

function massFault(sum: number, place: Place): Fault {
  return {
    code: 'attention_mass',
    detail: `The attention of sample ${place.sample}, layer ${place.layer} sums to ${sum} over its tokens ${pixel(place)}.`,
    field: 'attention',
    received: sum,
    expected: `at most ${MAX_MASS}`,
  };
}

function pixel({ position, width }: Place): string {
  return `at row ${Math.floor(position / width)}, column ${position % width}`;
}
