/** Owns how the study is shown: a table for a terminal, and the same in Markdown. */
import type { Manifest } from '../engine/manifest.js';
import type { StudyRow } from './false-drop.js';
import type { JudgedSamples } from './judged-samples.js';

const HEAD = [
  'alpha',
  'good dropped',
  '95% interval',
  'all dropped',
  'steps saved',
  'quality kept',
  'at random',
];

/** What was studied, in one sentence. */
export function sampleText(
  { name, version, metric, capture }: Pick<Manifest, 'name' | 'version' | 'metric' | 'capture'>,
  { goodAt, captions }: JudgedSamples,
  step: number,
): string {
  const qualities = captions.flatMap(({ quality }) => quality);
  const good = qualities.filter((quality) => quality >= goodAt).length / qualities.length;
  return (
    `${qualities.length} samples of ${captions.length} ${captions.length === 1 ? 'caption' : 'captions'} that ${name}@${version} was neither trained nor calibrated on, ` +
    `at step ${step} of ${capture.total_steps}; ${percent(good)} are good (${metric.name} of ${goodAt} or more)`
  );
}

/** Why some lines drop nothing; empty where all of them may drop. */
export function uncalibratedText(alphas: readonly number[], goodScores: number): string {
  if (alphas.length === 0) return '';
  const named = alphas.map((alpha) => percent(alpha, 0)).join(', ');
  return `At ${named} nothing is dropped: the calibration holds too few good samples for that, ${goodScores}.`;
}

/** Lines of equal columns. */
export function textTable(rows: readonly StudyRow[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '))
    .join('\n');
}

export function markdownTable(rows: readonly StudyRow[]): string {
  const lines = [HEAD, HEAD.map(() => '---:'), ...rows.map(cells)];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cells(row: StudyRow): string[] {
  return [
    percent(row.alpha, 0),
    percent(row.false_drop),
    row.interval ? `${percent(row.interval[0])} to ${percent(row.interval[1])}` : '-',
    percent(row.drop_rate),
    percent(row.steps_saved),
    row.kept_quality?.toFixed(3) ?? '-',
    row.random_kept_quality.toFixed(3),
  ];
}

function percent(share: number | null, digits = 1): string {
  if (share === null) return '-';
  // An alpha such as 0.025 keeps its digits.
  const value = share * 100;
  const needed = digits === 0 && Math.abs(value - Math.round(value)) > 1e-9 ? 1 : digits;
  return `${value.toFixed(needed)}%`;
}
