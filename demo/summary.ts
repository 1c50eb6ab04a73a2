/** The text output of `npm run generate`: a table of the images, and totals. */
import path from 'node:path';

import { tableLines } from '../src/terminal/table.js';
import type { SelectedSample, Selection } from './selection.js';

/** @param folder where the files of the selection are. */
export function summaryText(selection: Selection, folder: string): string {
  const { samples, stages, seconds } = selection;
  const steps = stages.map(({ step }) => String(step));
  const head = ['seed', ...steps.map((step) => `step ${step}`), 'dropped at', 'quality', 'rank'];
  const rows = samples.map(({ seed, scores, dropped_at: droppedAt, quality, rank }) => [
    String(seed),
    ...steps.map((step) => decimals(scores[step])),
    droppedAt === null ? '-' : `step ${droppedAt}`,
    decimals(quality),
    String(rank ?? '-'),
  ]);
  const best = samples.find(({ rank }) => rank === 1);
  const lines = [
    ...tableLines([head, ...rows]),
    '',
    callsLine(selection),
    ...qualityLine(samples),
    ...(best?.image ? [`the best of the kept is seed ${best.seed}: ${path.join(folder, best.image)}`] : []),
    `${seconds.toFixed(1)} s; sheet.png and selection.json are in ${folder}`,
  ];
  return lines.join('\n');
}

function callsLine({ samples, calls, best_of_k: { k, calls: full } }: Selection): string {
  const share = ((100 * (full - calls)) / full).toFixed(0);
  const finished = samples.filter((sample) => sample.dropped_at === null).length;
  return `${calls} denoiser calls instead of ${full} for best-of-${k}: ${full - calls} saved (${share}%), ${finished} of ${k} kept`;
}

/** What the dropped images would have become, when they were finished too. */
function qualityLine(samples: readonly SelectedSample[]): string[] {
  const finished = samples.flatMap(({ quality, ...rest }) =>
    quality === null ? [] : [{ ...rest, quality }],
  );
  const kept = finished.filter(({ rank }) => rank !== null);
  if (finished.length < samples.length || kept.length === finished.length) return [];
  const mean = (some: typeof finished): string =>
    decimals(some.reduce((sum, { quality }) => sum + quality, 0) / some.length);
  const best = finished.reduce((left, right) => (right.quality > left.quality ? right : left));
  const fate = best.dropped_at === null ? 'kept' : `dropped at step ${best.dropped_at}`;
  return [
    `mean quality of the kept ${mean(kept)}, of all ${mean(finished)}; the best of all, seed ${best.seed}, was ${fate}`,
  ];
}

function decimals(value: number | null | undefined): string {
  return value?.toFixed(3) ?? '-';
}
