/** Converts single numbers to 16-bit floats and back: the plain reference for the fast conversions of whole arrays. */

const F16_MIN_NORMAL = 2 ** -14;
const F16_SUBNORMAL_STEP = 2 ** -24;
const F16_OVERFLOW = 65_520;
const F16_INFINITY = 0x7c00;
const F16_NAN = 0x7e00;

const scratch = new DataView(new ArrayBuffer(4));

/** The 16 bits of the half-precision number nearest to a value, ties to even; too large becomes infinity. */
export function numberToF16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return F16_NAN;
  if (size >= F16_OVERFLOW) return sign | F16_INFINITY;
  if (size < F16_MIN_NORMAL) return sign | roundToEven(size / F16_SUBNORMAL_STEP);
  const exponent = Math.floor(Math.log2(size));
  const scaled = roundToEven((size / 2 ** exponent - 1) * 1024);
  // A fraction that rounds up to 1024 carries into the exponent, which is what the addition does.
  return sign | (((exponent + 15) << 10) + scaled);
}

/** The value of one bfloat16 number, given as its 16 bits: the upper half of a float32. */
export function bf16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The 16 bits of the bfloat16 number nearest to a value, ties to even. */
export function numberToBf16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest < 0.5) return below;
  if (rest > 0.5) return below + 1;
  return below % 2 === 0 ? below : below + 1;
}
