/**
 * Draws for exploration. The draw is an HMAC of the sample's id, so a sample has the same draw at every step and at every
 * replica with the same keys, and a caller cannot choose an id with a favourable draw.
 */
import { randomInt } from 'node:crypto';

import type { KeyRing } from './keys.js';

const DRAW_BYTES = 6;
const DRAW_RANGE = 2 ** (8 * DRAW_BYTES);
const TAG_BYTES = 9;

export interface ExplorationDraw {
  /** Uniform in [0, 1): the sample is explored at every rate above it. */
  readonly draw: number;
  /** Pseudonym of the sample, the same in all its receipts; null for a sample without an id. */
  readonly sampleTag: string | null;
}

/**
 * The draw of a sample. A sample without an id gets a new draw at each decision: correct for one decision point, but over
 * several the sample may be explored at one and dropped at the next.
 * @param group the name of the group, because ids may be unique within their group only.
 */
export function drawExploration(
  keys: KeyRing,
  group: string | undefined,
  id: string | undefined,
): ExplorationDraw {
  if (id === undefined) return { draw: randomInt(DRAW_RANGE - 1) / DRAW_RANGE, sampleTag: null };
  const digest = keys.mac(`sample ${JSON.stringify([group ?? null, id])}`);
  return {
    draw: digest.readUIntBE(0, DRAW_BYTES) / DRAW_RANGE,
    sampleTag: digest.toString('base64url', DRAW_BYTES, DRAW_BYTES + TAG_BYTES),
  };
}
