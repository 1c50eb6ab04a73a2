/** Converts whole arrays between 16-bit and 32-bit floats. The conversions run in the workers, for every request. */

/** The value of every half-precision bit pattern. */
export const F16_VALUES: Float32Array = Float32Array.from({ length: 65_536 }, (_, bits) => f16ToNumber(bits));

const SIGN = 0x8000_0000;
const F32_INFINITY = 0x7f80_0000;
/** 65,536 as float32 bits: it and all larger values become infinity. */
const F16_TOO_LARGE = 0x4780_0000;
/** 2^-14 as float32 bits: smaller halves are subnormal. */
const F16_SMALLEST_NORMAL = 0x3880_0000;
/** Added to a float32 below 2^-14, it aligns the mantissa to the steps of subnormal halves; the hardware rounds. */
const SUBNORMAL_ALIGNER = 0.5;
const SUBNORMAL_ALIGNER_BITS = 0x3f00_0000;
/** The difference of the exponents' biases, 127 - 15, in the bits of the exponent. */
const BIAS_DIFFERENCE = 112 << 23;
const HALF_A_STEP = 0xfff;

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The value of one IEEE 754 half-precision number, given as its 16 bits. */
export function f16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

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

/** Rounds to the nearest half, ties to even. Values that are too large become infinity; NaN stays NaN. */
export function f32ToF16(source: Float32Array): Uint16Array {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const target = new Uint16Array(source.length);
  for (let index = 0; index < source.length; index += 1) target[index] = roundToHalf(bits[index]!);
  return target;
}

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
  // A mantissa that rounds up past its last bit carries into the exponent, up to infinity, which is correct.
  return sign | ((size - BIAS_DIFFERENCE + HALF_A_STEP + isOdd) >>> 13);
}
