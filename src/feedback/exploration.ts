/**
 * Owns the lot that each sample draws for exploration. It is an HMAC of what the backend calls the sample, so a sample
 * draws the same at every step and at every replica that has the same keys, and nobody outside can pick a lucky id.
 */
import type { KeyRing } from './keys.js';
import { freshBytes } from './random-bytes.js';

const LOT_BYTES = 6;
const LOTS = 2 ** (8 * LOT_BYTES);
const TAG_BYTES = 9;

/** What a sample has drawn. */
export interface ExplorationDraw {
  /** Uniform in [0, 1): the sample is explored at every rate above it. */
  readonly draw: number;
  /** Tells the receipts of one sample from those of others; null for a sample without an id. */
  readonly tag: string | null;
}

/**
 * The lot of a sample. Without an id it is drawn anew at each decision: right for one decision point, but over several
 * the sample may be explored at one and dropped at the next.
 * @param group the name of the prompt's candidates, where ids are unique within the group alone.
 */
export function drawExploration(
  keys: KeyRing,
  group: string | undefined,
  id: string | undefined,
): ExplorationDraw {
  if (id === undefined) return { draw: drawOf(freshBytes(LOT_BYTES)), tag: null };
  const digest = keys.mac(`sample ${JSON.stringify([group ?? null, id])}`);
  return { draw: drawOf(digest), tag: digest.toString('base64url', LOT_BYTES, LOT_BYTES + TAG_BYTES) };
}

function drawOf(bytes: Buffer): number {
  return bytes.readUIntBE(0, LOT_BYTES) / LOTS;
}
