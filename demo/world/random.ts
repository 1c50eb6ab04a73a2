/** Repeatable random numbers: the same hash always gives the same stream. */

const UINT32 = 2 ** 32;

/** What makes a hash of a text: 32 bytes. */
export type Sha256 = (text: string) => Uint8Array;

/**
 * The noise that an image starts from: independent standard normal values, by the Box-Muller transform. The reference world
 * in Python draws other noise for the same seed.
 * @param length the number of values in an image.
 */
export function initialNoise(sha256: Sha256, caption: string, seed: number, length: number): Float32Array {
  const uniform = uniformNumbers(sha256(`${caption}\n${seed}`));
  const noise = new Float32Array(length);
  for (let index = 0; index < length; index += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    noise[index] = radius * Math.cos(angle);
    if (index + 1 < length) noise[index + 1] = radius * Math.sin(angle);
  }
  return noise;
}

/** Uniform numbers in [0, 1) by xoshiro128** (Blackman and Vigna, https://prng.di.unimi.it), seeded by a hash of 16 bytes or more. */
export function uniformNumbers(hash: Uint8Array): () => number {
  const view = new DataView(hash.buffer, hash.byteOffset);
  let [a = 0, b = 0, c = 0, d = 0] = [0, 4, 8, 12].map((offset) => view.getUint32(offset, true));
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result / UINT32;
  };
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
