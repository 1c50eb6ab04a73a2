/** Owns repeatable chance: a text always gives the same uniform numbers. SHA-256 of it seeds xoshiro128**. */
import { createHash } from 'node:crypto';

const UINT32 = 2 ** 32;

/** A stream of uniform numbers in [0, 1). */
export function uniformNumbers(seed: string): () => number {
  return xoshiro128(createHash('sha256').update(seed).digest());
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
