/**
 * Owns the noise that images start from: a prompt and a seed always give the same.
 * SHA-256 of both seeds xoshiro128**, whose uniform numbers the Box-Muller transform makes normal.
 */
import { createHash } from 'node:crypto';

const UINT32 = 2 ** 32;

/** Independent standard normal values. */
export function initialNoise(prompt: string, seed: number, length: number): Float32Array {
  const digest = createHash('sha256').update(`${prompt}\n${seed}`).digest();
  const uniform = xoshiro128(digest);
  const noise = new Float32Array(length);
  for (let index = 0; index < length; index += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    noise[index] = radius * Math.cos(angle);
    if (index + 1 < length) noise[index + 1] = radius * Math.sin(angle);
  }
  return noise;
}

/** xoshiro128** by Blackman and Vigna: uniform numbers in [0, 1) from 16 bytes of state. */
function xoshiro128(state: Buffer): () => number {
  let [a, b, c, d] = [0, 4, 8, 12].map((offset) => state.readUInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
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
