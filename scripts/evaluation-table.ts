/** Owns the tables of README.md that say what the shipped probes are worth: read from the reports beside them. */
import { readFile } from 'node:fs/promises';

import * as z from 'zod';

import { markdownTable } from './markdown-table.js';

const STEPS = ['5', '10'] as const;

const METHODS = {
  probe: '**`pictogram`**: attention',
  prompt_only: 'prompt alone (ridge on words)',
  true_prompt_mean: 'true mean of the prompt (the most that a prompt can tell)',
  attend_and_excite: 'Attend-and-Excite score, nothing learned',
  guidance_difference: 'guidance difference',
  preview_quality: 'x0 preview, judged by the metric itself',
} as const;

const FULLER_TITLE = '**`pictogram-full`**: attention, words and x0 preview';

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
type Report = z.infer<typeof reportSchema>;

/**
 * One table per step: a row for each method, pooled figures first, those within the prompt after them.
 * @param reportPath of the default probe, whose rivals are shown. @param fullerPath of the probe that reads more.
 */
export async function evaluationTables(reportPath: string, fullerPath: string): Promise<string> {
  const { steps } = await readReport(reportPath);
  const fuller = await readReport(fullerPath);
  return STEPS.map((step) => {
    const methods = steps[step]?.methods ?? {};
    const [own = [], ...rivals] = Object.entries(METHODS).map(([method, title]) => [
      title,
      ...cells(methods[method]),
    ]);
    const rows = [own, [FULLER_TITLE, ...cells(fuller.steps[step]?.methods['probe'])], ...rivals];
    return markdownTable([`at step ${step} of 25`, ...Object.values(FIGURES)], rows);
  }).join('\n\n');
}

async function readReport(file: string): Promise<Report> {
  return reportSchema.parse(JSON.parse(await readFile(file, 'utf8')));
}

function cells(figures: Readonly<Record<string, Figure>> | undefined): string[] {
  return Object.keys(FIGURES).map((figure) => cell(figures?.[figure]));
}

function cell(figure: Figure | undefined): string {
  if (figure?.value === undefined || figure.value === null) return '-';
  const { value, low, high } = figure;
  const interval =
    typeof low === 'number' && typeof high === 'number' ? ` [${low.toFixed(2)}, ${high.toFixed(2)}]` : '';
  return `${value.toFixed(2)}${interval}`;
}
