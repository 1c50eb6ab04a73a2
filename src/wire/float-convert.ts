/** Owns fast conversions between whole arrays of 16-bit and 32-bit floats, for use in the workers. */
import { f16ToNumber } from './dtype.js';

/** The value of every half-precision bit pattern. */
export const F16_VALUES: Float32Array = Float32Array.from({ length: 65_536 }, (_, bits) => f16ToNumber(bits));

const SIGN = 0x8000_0000;
const F32_INFINITY = 0x7f80_0000;
/** 65,536 as float32 bits: from here on even truncation leaves nothing but infinity. */
const F16_TOO_LARGE = 0x4780_0000;
/** 2^-14 as float32 bits: below it a half is subnormal. */
const F16_SMALLEST_NORMAL = 0x3880_0000;
/** Adding 0.5 to a smaller float32 aligns its mantissa to the half's subnormal steps, rounded by the hardware. */
const SUBNORMAL_ALIGNER = 0.5;
const SUBNORMAL_ALIGNER_BITS = 0x3f00_0000;
/** The difference of the exponents' biases, 127 - 15, at the exponent's place. */
const BIAS_DIFFERENCE = 112 << 23;
const HALF_A_STEP = 0xfff;

export function f16ToF32(source: Uint16Array): Float32Array {
  const target = new Float32Array(source.length);
  for (let index = 0; index < source.length; index += 1) target[index] = F16_VALUES[source[index]!]!;
  return target;
}

/** A bfloat16 is the upper half of a float32. */
export function bf16ToF32(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length);
  for (let index = 0; index < source.length; index += 1) bits[index] = source[index]! << 16;
  return new Float32Array(bits.buffer);
}

/** Rounds to the nearest half, ties to even; what is too large becomes infinity, NaN stays NaN. */
export function f32ToF16(source: Float32Array): Uint16Array {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const target = new Uint16Array(source.length);
  for (let index = 0; index < source.length; index += 1) target[index] = roundToHalf(bits[index]!);
  return target;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

function roundToHalf(bits: number): number {
  const sign = (bits & SIGN) >>> 16;
  const size = bits & ~SIGN;
  if (size > F32_INFINITY) return sign | 0x7e00;
  if (size >= F16_TOO_LARGE) return sign | 0x7c00;
  if (size < F16_SMALLEST_NORMAL) {
    scratchBits[0] = size;
    scratch[0] = scratch[0]! + SUBNORMAL_ALIGNER;
    return sign | (scratchBits[0] - SUBNORMAL_ALIGNER_BITS);
  }
  const isOdd = (size >>> 13) & 1;
  // A mantissa that rounds up over its end carries into the exponent, up to infinity, as it should.
  return sign | ((size - BIAS_DIFFERENCE + HALF_A_STEP + isOdd) >>> 13);
}
