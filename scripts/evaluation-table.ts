/** Owns the tables of README.md that say what the default probe is worth: read from the report beside it. */
import { readFile } from 'node:fs/promises';

import * as z from 'zod';

import { markdownTable } from './markdown-table.js';

const STEPS = ['5', '10'] as const;

const METHODS = {
  probe: '**the probe**',
  prompt_only: 'prompt alone (ridge on words)',
  true_prompt_mean: 'true mean of the prompt (the most that a prompt can tell)',
  attend_and_excite: 'Attend-and-Excite score, nothing learned',
  guidance_difference: 'guidance difference',
  preview_quality: 'x0 preview, judged by the metric itself',
} as const;

const FIGURES = {
  srcc: 'SRCC',
  auc_20: 'AUC 20%',
  pairwise_accuracy: 'pairwise accuracy',
  gap_closed_8: 'gap closed, N = 8',
} as const;

const figureSchema = z.object({
  value: z.number().nullable(),
  low: z.number().nullable().optional(),
  high: z.number().nullable().optional(),
});

const reportSchema = z.object({
  steps: z.record(
    z.string(),
    z.object({ methods: z.record(z.string(), z.record(z.string(), figureSchema)) }),
  ),
});

type Figure = z.infer<typeof figureSchema>;

/** One table per step: a row for each method, pooled figures first, those within the prompt after them. */
export async function evaluationTables(reportPath: string): Promise<string> {
  const { steps } = reportSchema.parse(JSON.parse(await readFile(reportPath, 'utf8')));
  return STEPS.map((step) => {
    const methods = steps[step]?.methods ?? {};
    const rows = Object.entries(METHODS).map(([method, title]) => [
      title,
      ...Object.keys(FIGURES).map((figure) => cell(methods[method]?.[figure])),
    ]);
    return markdownTable([`at step ${step} of 25`, ...Object.values(FIGURES)], rows);
  }).join('\n\n');
}

function cell(figure: Figure | undefined): string {
  if (figure?.value === undefined || figure.value === null) return '-';
  const { value, low, high } = figure;
  const interval =
    typeof low === 'number' && typeof high === 'number' ? ` [${low.toFixed(2)}, ${high.toFixed(2)}]` : '';
  return `${value.toFixed(2)}${interval}`;
}
