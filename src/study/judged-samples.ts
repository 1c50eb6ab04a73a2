/** Owns samples whose scores and true qualities are both known: what they are, and how the file of them is read. */
import { readFile } from 'node:fs/promises';

import * as z from 'zod';

/** The samples of one caption at one decision point. */
export interface JudgedCaption {
  readonly caption: string;
  /** One per sample. */
  readonly scores: readonly number[];
  /** The metric of the finished image, one per sample. */
  readonly quality: readonly number[];
}

/** Samples that no calibration has seen. */
export interface JudgedSamples {
  /** The quality from which an image counts as good. */
  readonly goodAt: number;
  readonly captions: readonly JudgedCaption[];
}

const perSample = z.array(z.array(z.number()).min(1)).min(1);

const fileSchema = z.object({
  captions: z.array(z.string()).min(1),
  good_at: z.number(),
  steps: z.record(z.string(), z.object({ scores: perSample })),
  quality: perSample,
});

/** The scores of the test captions, as `diffusion-probe evaluate` writes them beside a probe. */
export interface TestScores {
  /** The steps that have scores, ascending. */
  readonly steps: readonly number[];
  /** @throws {RangeError} when there are no scores at that step. */
  at(step: number): JudgedSamples;
}

/**
 * Reads a file of test scores.
 * @throws {Error} that names the file and what is wrong with it.
 */
export async function readTestScores(file: string): Promise<TestScores> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`${file} cannot be read: 'diffusion-probe evaluate' writes it`, { cause });
  });
  return parseTestScores(text, file);
}

/** @param name what to call the text where it is wrong. */
export function parseTestScores(text: string, name: string): TestScores {
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(`${name} is not valid: ${z.prettifyError(parsed.error)}`);
  const { captions, good_at: goodAt, steps, quality } = parsed.data;
  const sizes = captions.map((_, index) => quality[index]?.length).join();
  for (const [step, { scores }] of Object.entries(steps)) {
    if (scores.length === captions.length && scores.map(({ length }) => length).join() === sizes) continue;
    throw new Error(`${name} is not valid: not one score at step ${step} and one quality per sample`);
  }
  return {
    steps: Object.keys(steps).map(Number),
    at: (step) => {
      const scores = steps[String(step)]?.scores;
      if (!scores) throw new RangeError(`there are scores at the steps ${Object.keys(steps).join(', ')}`);
      const judged = captions.map((caption, index): JudgedCaption => {
        return { caption, scores: scores[index] ?? [], quality: quality[index] ?? [] };
      });
      return { goodAt, captions: judged };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
