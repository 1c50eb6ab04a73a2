/** Owns random bytes, fetched from the system in blocks: to ask for each few costs more than all else about a receipt. */
import { randomFillSync } from 'node:crypto';

const BLOCK_BYTES = 4096;

const block = Buffer.alloc(BLOCK_BYTES);
let taken = BLOCK_BYTES;

/** Bytes that nobody else gets, from the system's cryptographic source. To be read at once: they are overwritten later. */
export function freshBytes(count: number): Buffer {
  if (taken + count > BLOCK_BYTES) {
    randomFillSync(block);
    taken = 0;
  }
  taken += count;
  return block.subarray(taken - count, taken);
}
