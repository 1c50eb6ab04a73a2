/** The text output of `npm run generate`: a table of the candidates, and totals. */
import type { Candidate } from './draw-candidates.js';

/** The members of a candidate that the table shows. */
export type SummaryRow = Pick<
  Candidate,
  'seed' | 'score' | 'percentile' | 'rank' | 'decision' | 'reason' | 'quality'
>;

/** What holds for all candidates. */
export interface SummaryFacts {
  readonly step: number;
  readonly totalSteps: number;
  /** Whether the dropped candidates were finished too. */
  readonly all: boolean;
  readonly seconds: number;
  readonly out: string;
}

const HEAD = ['seed', 'score', 'percentile', 'rank', 'decision', 'reason', 'quality'];

export function summaryText(rows: readonly SummaryRow[], facts: SummaryFacts): string {
  const cells = rows.map((row) => [
    String(row.seed),
    number(row.score, 3),
    number(row.percentile ?? undefined, 1),
    row.rank === undefined ? '-' : String(row.rank),
    row.decision,
    row.reason,
    number(row.quality, 3),
  ]);
  const lines = [...table([HEAD, ...cells]), '', stepsLine(rows, facts)];
  const qualities = facts.all ? qualityLine(rows) : undefined;
  if (qualities !== undefined) lines.push(qualities);
  lines.push(`${facts.seconds.toFixed(1)} s; the picture is ${facts.out}`);
  return lines.join('\n');
}

/** Dropped candidates count as not finished, also with --all. */
function stepsLine(rows: readonly SummaryRow[], { step, totalSteps }: SummaryFacts): string {
  const kept = rows.filter((row) => row.decision === 'keep').length;
  const full = rows.length * totalSteps;
  const taken = rows.length * step + kept * (totalSteps - step);
  const share = ((100 * (full - taken)) / full).toFixed(0);
  return `${taken} denoising steps instead of ${full}: ${full - taken} saved (${share}%), ${kept} of ${rows.length} kept`;
}

function qualityLine(rows: readonly SummaryRow[]): string | undefined {
  const finished = rows.filter((row) => row.quality !== undefined);
  const mean = (some: readonly SummaryRow[]): number =>
    some.reduce((sum, row) => sum + (row.quality ?? 0), 0) / some.length;
  const kept = finished.filter((row) => row.decision === 'keep');
  if (finished.length < rows.length || kept.length === 0) return undefined;
  const best = finished.reduce((left, right) => ((right.quality ?? 0) > (left.quality ?? 0) ? right : left));
  return (
    `mean quality of the kept ${mean(kept).toFixed(3)}, of all ${mean(finished).toFixed(3)}; ` +
    `the best of all, seed ${best.seed}, was ${best.decision === 'keep' ? 'kept' : 'dropped'}`
  );
}

function number(value: number | undefined, digits: number): string {
  return value === undefined ? '-' : value.toFixed(digits);
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
