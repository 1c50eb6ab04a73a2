/** Owns what a run says in words: the table of candidates and the sums below it. */
import type { Candidate } from './run.js';

/** What of a candidate the table shows; what is not known is left out. */
export type ReportRow = Pick<
  Candidate,
  'seed' | 'score' | 'percentile' | 'rank' | 'decision' | 'reason' | 'quality'
>;

/** What the report says of the run as a whole. */
export interface RunFacts {
  readonly step: number;
  readonly totalSteps: number;
  /** Whether the dropped ones were finished too, to show them. */
  readonly all: boolean;
  readonly seconds: number;
  readonly out: string;
}

const HEAD = ['seed', 'score', 'percentile', 'rank', 'decision', 'reason', 'quality'];

/** The whole report, lines joined. */
export function reportText(rows: readonly ReportRow[], facts: RunFacts): string {
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
  const verdict = facts.all ? bestLine(rows) : undefined;
  if (verdict) lines.push(verdict);
  lines.push(`${facts.seconds.toFixed(1)} s; the picture is ${facts.out}`);
  return lines.join('\n');
}

/** The cost is counted as it is without --all: what the decisions save. */
function stepsLine(rows: readonly ReportRow[], { step, totalSteps }: RunFacts): string {
  const kept = rows.filter((row) => row.decision === 'keep').length;
  const full = rows.length * totalSteps;
  const taken = rows.length * step + kept * (totalSteps - step);
  const share = ((100 * (full - taken)) / full).toFixed(0);
  return `${taken} denoising steps instead of ${full}: ${full - taken} saved (${share}%), ${kept} of ${rows.length} kept`;
}

function bestLine(rows: readonly ReportRow[]): string | undefined {
  const judged = rows.filter((row) => row.quality !== undefined);
  const mean = (some: readonly ReportRow[]): number =>
    some.reduce((sum, row) => sum + (row.quality ?? 0), 0) / some.length;
  const kept = judged.filter((row) => row.decision === 'keep');
  if (judged.length < rows.length || kept.length === 0) return undefined;
  const best = judged.reduce((left, right) => ((right.quality ?? 0) > (left.quality ?? 0) ? right : left));
  return (
    `mean quality of the kept ${mean(kept).toFixed(3)}, of all ${mean(judged).toFixed(3)}; ` +
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
