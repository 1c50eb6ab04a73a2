/** The committed scores of the test captions: tests resample these real scores. */
import { readFile } from 'node:fs/promises';

import { parseManifest } from '../../src/probe/folder.js';
import type { Manifest } from '../../src/probe/manifest.js';

const PROBE = 'models/pictogram/2';

/** The samples of one caption at one decision point. */
export interface CaptionScores {
  readonly caption: string;
  /** One per sample. */
  readonly scores: readonly number[];
  /** The quality of the finished image, one per sample. */
  readonly quality: readonly number[];
}

export interface TestScores {
  /** The quality from which an image counts as good. */
  readonly goodAt: number;
  /** The steps that have scores, ascending. */
  readonly steps: readonly number[];
  at(step: number): readonly CaptionScores[];
}

/** The file that `diffusion-probe evaluate` writes. */
interface ScoresFile {
  readonly captions: readonly string[];
  readonly good_at: number;
  readonly steps: Readonly<Record<string, { readonly scores: readonly (readonly number[])[] }>>;
  readonly quality: readonly (readonly number[])[];
}

/** The scores in the folder of the shipped probe. */
export async function committedScores(): Promise<TestScores> {
  const file = JSON.parse(await readFile(`${PROBE}/test-scores.json`, 'utf8')) as ScoresFile;
  return {
    goodAt: file.good_at,
    steps: Object.keys(file.steps).map(Number),
    at: (step) =>
      file.captions.map((caption, index) => ({
        caption,
        scores: file.steps[String(step)]?.scores[index] ?? [],
        quality: file.quality[index] ?? [],
      })),
  };
}

export async function shippedManifest(): Promise<Manifest> {
  return parseManifest(await readFile(`${PROBE}/probe.json`, 'utf8'));
}
