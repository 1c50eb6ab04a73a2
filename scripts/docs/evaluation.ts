/** Tables of how good the shipped probes are, from the reports beside them. */
import { readFile } from 'node:fs/promises';

import * as z from 'zod';

import { markdownTable } from './markdown.js';

const STEPS = ['5', '10'];
const REPORT = 'models/pictogram/2/report.json';
const FULL_REPORT = 'models/pictogram-full/2/report.json';

const METHODS = {
  probe: '**`pictogram`**: attention',
  full: '**`pictogram-full`**: attention, words, x0 preview and guidance difference',
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
  low: z.number().nullish(),
  high: z.number().nullish(),
});
const methodsSchema = z.record(z.string(), z.record(z.string(), figureSchema));
const reportSchema = z.object({ steps: z.record(z.string(), z.object({ methods: methodsSchema })) });

type Methods = z.infer<typeof methodsSchema>;

/**
 * `full`: a table per step, with a row per method. `short`: a row per shipped probe and step.
 * The figures over all captions come first, those within a caption after them.
 */
export async function evaluationTables(): Promise<{ full: string; short: string }> {
  const [report, fullReport] = [await readReport(REPORT), await readReport(FULL_REPORT)];
  const steps = STEPS.map((step) => {
    const methods: Methods = { ...report[step]?.methods, full: fullReport[step]?.methods['probe'] ?? {} };
    return { step, methods };
  });
  const { auc_20: _, ...shortFigures } = FIGURES;
  return {
    full: steps
      .map(({ step, methods }) =>
        markdownTable(
          [`at step ${step} of 25`, ...Object.values(FIGURES)],
          Object.entries(METHODS).map(([method, title]) => [title, ...cells(methods, method, FIGURES)]),
        ),
      )
      .join('\n\n'),
    short: markdownTable(
      ['probe', 'step', ...Object.values(shortFigures)],
      (['probe', 'full'] as const).flatMap((method) =>
        steps.map(({ step, methods }) => [METHODS[method], step, ...cells(methods, method, shortFigures)]),
      ),
    ),
  };
}

async function readReport(file: string): Promise<z.infer<typeof reportSchema>['steps']> {
  return reportSchema.parse(JSON.parse(await readFile(file, 'utf8'))).steps;
}

function cells(methods: Methods, method: string, figures: object): string[] {
  return Object.keys(figures).map((figure) => {
    const { value, low, high } = methods[method]?.[figure] ?? { value: null };
    if (value === null) return '-';
    const isInterval = typeof low === 'number' && typeof high === 'number';
    return `${value.toFixed(2)}${isInterval ? ` [${low.toFixed(2)}, ${high.toFixed(2)}]` : ''}`;
  });
}
