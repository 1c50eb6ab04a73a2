/** The scores and qualities of a probe's test captions, which `diffusion-probe evaluate` writes beside the probe. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import * as z from 'zod';

/** By caption, one per seed. */
const table = z.array(z.array(z.number()).min(1)).min(1);

const testScoresSchema = z
  .object({
    captions: z.array(z.string()).min(1),
    steps: z.record(z.string(), z.object({ scores: table })),
    quality: table,
  })
  .refine(({ captions, steps, quality }) => {
    const isLikeQuality = (rows: number[][]): boolean =>
      rows.length === quality.length && rows.every((row, index) => row.length === quality[index]?.length);
    return (
      captions.length === quality.length && Object.values(steps).every(({ scores }) => isLikeQuality(scores))
    );
  }, 'captions, scores and quality must have the same shape');

export type TestScores = z.output<typeof testScoresSchema>;

/**
 * @param models the model repository.
 * @param reference `name@version`
 * @throws {Error} when there is no such file, or another one.
 */
export async function readTestScores(models: string, reference: string): Promise<TestScores> {
  const file = path.join(models, ...reference.split('@'), 'test-scores.json');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`${file} cannot be read: diffusion-probe evaluate writes it`, { cause });
  });
  const { data, error } = testScoresSchema.safeParse(parseJson(text, file));
  if (data) return data;
  throw new Error(`${file}: ${z.prettifyError(error)}`);
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${file}: ${String(cause)}`, { cause });
  }
}
