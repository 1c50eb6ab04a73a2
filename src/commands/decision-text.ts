/** The answer of POST /score as a table for a person at a terminal. */
import * as z from 'zod';

import { tableLines } from '../terminal/table.js';

const DECIMALS = 3;

/** The members of an answer that the table shows. A later service may have further ones, and further reasons. */
const answerSchema = z.object({
  model: z.string(),
  version: z.int(),
  provider: z.string(),
  policy: z.looseObject({ name: z.string() }),
  results: z.array(
    z.object({
      index: z.int(),
      id: z.string().nullable(),
      score: z.number(),
      threshold: z.number().nullable(),
      rank: z.int(),
      override: z.string().nullable(),
      decision: z.string(),
      reason: z.string(),
    }),
  ),
});

/** @throws {Error} when the answer is not that of POST /score. */
export function decisionText(answer: unknown, url: string): string {
  const { success, data } = answerSchema.safeParse(answer);
  if (!success) throw new Error(`what answers at ${url} is no Diffusion Probe`);
  const { model, version, provider, policy, results } = data;
  const rows = results.map(({ index, id, score, threshold, rank, override, decision, reason }) => [
    id ?? `#${index}`,
    score.toFixed(DECIMALS),
    threshold?.toFixed(DECIMALS) ?? '-',
    String(rank),
    decision,
    override === null ? reason : `${reason}, ${override}`,
  ]);
  const kept = results.filter(({ decision }) => decision === 'keep').length;
  const table = tableLines([['id', 'score', 'threshold', 'rank', 'decision', 'reason'], ...rows]);
  const summary = `${kept} of ${results.length} kept by ${model}@${version} on ${provider}, policy ${JSON.stringify(policy)}`;
  return `${[...table, '', summary].join('\n')}\n`;
}
