/** Owns the committed scores of the test captions, for tests that resample them instead of inventing a distribution. */
import { readFile } from 'node:fs/promises';

import { parseManifest } from '../../src/engine/manifest-reader.js';
import type { Manifest } from '../../src/engine/manifest.js';
import { readTestScores, type TestScores } from '../../src/study/judged-samples.js';

const PROBE = 'models/pictogram/1';

/** What `diffusion-probe evaluate` wrote beside the shipped probe. */
export function committedScores(): Promise<TestScores> {
  return readTestScores(`${PROBE}/test-scores.json`);
}

export async function shippedManifest(): Promise<Manifest> {
  return parseManifest(await readFile(`${PROBE}/probe.json`, 'utf8'));
}
