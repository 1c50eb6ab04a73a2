/** Repeatable random numbers: the same text always gives the same stream, and a prompt and a seed the same noise. */
import { createHash } from 'node:crypto';

const UINT32 = 2 ** 32;

/**
 * The noise that an image starts from: independent standard normal values, by the Box-Muller transform. The reference world
 * in Python draws other noise for the same seed.
 */
export function initialNoise(prompt: string, seed: number, length: number): Float32Array {
  const uniform = uniformNumbers(`${prompt}\n${seed}`);
  const noise = new Float32Array(length);
  for (let index = 0; index < length; index += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    noise[index] = radius * Math.cos(angle);
    if (index + 1 < length) noise[index + 1] = radius * Math.sin(angle);
  }
  return noise;
}

/** Uniform numbers in [0, 1) by xoshiro128** (Blackman and Vigna, https://prng.di.unimi.it), seeded by SHA-256. */
export function uniformNumbers(seed: string): () => number {
  const state = createHash('sha256').update(seed).digest();
  let [a = 0, b = 0, c = 0, d = 0] = [0, 4, 8, 12].map((offset) => state.readUInt32LE(offset));
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
