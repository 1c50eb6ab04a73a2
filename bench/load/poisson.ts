/** Owns when requests of an open loop are due: Poisson arrivals, the same for the same seed. */
import { createCipheriv, createHash } from 'node:crypto';

const UINT32 = 2 ** 32;
const UINT32_BYTES = 4;
const BLOCK_BYTES = 4096;
const KEY_BYTES = 16;

/** The times of arrival within a span, ascending, ms from its start. */
export function poissonArrivals(ratePerSecond: number, seconds: number, seed: number): number[] {
  if (!(ratePerSecond > 0)) throw new RangeError(`a rate must be above 0, not ${ratePerSecond}`);
  const uniform = uniformNumbers(seed);
  const meanGapMs = 1000 / ratePerSecond;
  const arrivals: number[] = [];
  const end = seconds * 1000;
  for (let at = gap(uniform, meanGapMs); at < end; at += gap(uniform, meanGapMs)) arrivals.push(at);
  return arrivals;
}

/** Between Poisson arrivals lie exponentially distributed gaps. */
function gap(uniform: () => number, meanMs: number): number {
  return -Math.log(1 - uniform()) * meanMs;
}

/** Numbers in [0, 1) from a cipher's key stream: Node's own generator takes no seed. */
function uniformNumbers(seed: number): () => number {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, KEY_BYTES);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(KEY_BYTES));
  let block = Buffer.alloc(0);
  let position = 0;
  return () => {
    if (position === block.length) {
      block = cipher.update(Buffer.alloc(BLOCK_BYTES));
      position = 0;
    }
    const value = block.readUInt32LE(position);
    position += UINT32_BYTES;
    return value / UINT32;
  };
}
