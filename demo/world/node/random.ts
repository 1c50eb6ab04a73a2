/** Uniform numbers from a text, in Node. */
import { createHash } from 'node:crypto';

import { uniformNumbers as fromHash } from '../random.js';

/** Uniform numbers in [0, 1); the same text always gives the same stream. */
export function uniformNumbers(seed: string): () => number {
  return fromHash(sha256(seed));
}

export function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
