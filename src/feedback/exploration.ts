/**
 * Draws for exploration. The draw is an HMAC of the sample's id and of a hash of the policy and the probe. So a sample has the
 * same draw at every step of a run and at every replica with the same keys, another policy or probe explores other samples,
 * and a caller cannot choose an id with a favourable draw. See docs/adr/0027-exploration-by-policy.md.
 */
import { hash, randomInt } from 'node:crypto';

import type { Policy } from '../decision/policy.js';
import { canonicalJson } from '../probe/fingerprint.js';
import type { KeyRing } from './keys.js';

const DRAW_BYTES = 6;
const DRAW_DIGITS = 2 * DRAW_BYTES;
const DRAW_RANGE = 2 ** (8 * DRAW_BYTES);
const TAG_BYTES = 9;
/** 66 bits: hashes of different policies must not be equal by chance. */
const EXPERIMENT_CHARACTERS = 11;
const SEPARATOR = '.';

export interface ExplorationDraw {
  /** Uniform in [0, 1): the sample is explored at every rate above it. */
  readonly draw: number;
  /** Pseudonym of the sample and the hash of the policy and the probe; null for a sample without an id. */
  readonly sampleTag: string | null;
}

/** A hash of the policy and the probe. The alphas of all steps are part of one policy, so it is the same at every step. */
export function experimentOf(policy: Policy, { name, version }: { name: string; version: number }): string {
  const text = canonicalJson([name, version, policy]);
  return hash('sha256', text, 'base64url').slice(0, EXPERIMENT_CHARACTERS);
}

/**
 * The draw of a sample. A sample without an id gets a new draw at each decision: correct for one decision point, but over
 * several the sample may be explored at one and dropped at the next.
 * @param experiment by experimentOf. @param group the name of the group, because ids may be unique within their group only.
 */
export function drawExploration(
  keys: KeyRing,
  experiment: string,
  group: string | undefined,
  id: string | undefined,
): ExplorationDraw {
  if (id === undefined) return { draw: randomInt(DRAW_RANGE - 1) / DRAW_RANGE, sampleTag: null };
  // The sample's HMAC is secret beyond the bytes of the tag, so that it serves as the key of the draw.
  const sample = keys.mac(`sample ${JSON.stringify([group ?? null, id])}`);
  // Of a string, because hashing a buffer is slower.
  const digits = hash('sha256', sample.toString('latin1') + experiment, 'hex').slice(0, DRAW_DIGITS);
  const pseudonym = sample.toString('base64url', DRAW_BYTES, DRAW_BYTES + TAG_BYTES);
  return {
    draw: Number.parseInt(digits, 16) / DRAW_RANGE,
    sampleTag: `${pseudonym}${SEPARATOR}${experiment}`,
  };
}

/**
 * Adds the pseudonym of a group to the tags of its samples, so that feedback can tell which samples belong together. Replicas of
 * earlier versions ignore it.
 */
export function groupTagger(keys: KeyRing, group: string | undefined): (sampleTag: string) => string {
  if (group === undefined) return (sampleTag) => sampleTag;
  const pseudonym = keys.mac(`group ${JSON.stringify(group)}`).toString('base64url', 0, TAG_BYTES);
  return (sampleTag) => `${sampleTag}${SEPARATOR}${pseudonym}`;
}

/** The parts of a tag. Those of earlier versions have no experiment or no group. */
export function partsOfTag(sampleTag: string): {
  pseudonym: string;
  experiment: string;
  group: string | null;
} {
  const [pseudonym = '', experiment = '', group = null] = sampleTag.split(SEPARATOR);
  return { pseudonym, experiment, group };
}
