/** Owns the report: which of the results are shown, in which order. */
import type { LoadRun } from '../bench-context.js';
import type { MemoryReading } from '../phases/memory.js';
import type { OpenRun } from '../phases/open.js';
import type { RawSurvey } from '../phases/raw.js';
import type { Round } from '../phases/rounds.js';
import { medianBy } from '../statistics.js';
import { figuresOf } from './figures.js';
import { figureTable, jsonLine, loadTable, memoryTable, rawTable } from './tables.js';

export interface Results {
  /** What the reader should know beforehand. */
  readonly notes: readonly string[];
  readonly survey: RawSurvey;
  readonly rounds: readonly Round[];
  /** The closed loops beside those of the rounds. */
  readonly closed: readonly LoadRun[];
  readonly openSingles: readonly OpenRun[];
  readonly openGroups: readonly OpenRun[];
  readonly memory: readonly MemoryReading[];
  /** After as many requests as the figure means. */
  readonly isMemoryFull: boolean;
}

/** The tables, and last the line of JSON. */
export function reportText(results: Results): string {
  const { notes, survey, rounds, memory, isMemoryFull, openSingles } = results;
  const figures = figuresOf({
    rounds,
    openSingles,
    memory: isMemoryFull ? memory : undefined,
  });
  const rawRuns = [
    ...survey.runs,
    ...survey.alone,
    middle(rounds.map(({ fastest }) => fastest)),
    middle(rounds.map(({ thriftiest }) => thriftiest)),
  ];
  const parts = [
    notes.join('\n'),
    rawTable(rawRuns),
    loadTable(loadRows(results)),
    memoryTable(memory),
    figureTable(figures),
    jsonLine(figures),
  ];
  return parts.join('\n\n');
}

/** Of each kind of run in the rounds, the middle one. */
function loadRows({ rounds, closed, openSingles, openGroups }: Results): LoadRun[] {
  const peers = rounds[0]?.peers ?? [];
  const peerRows = peers.flatMap((_, index) => [
    middle(rounds.flatMap(({ lonePeers }) => lonePeers.slice(index, index + 1))),
    middle(rounds.flatMap((round) => round.peers.slice(index, index + 1))),
  ]);
  return [
    middle(rounds.map(({ lone }) => lone)),
    middle(rounds.map(({ singles }) => singles)),
    middle(rounds.map(({ groups }) => groups)),
    ...closed,
    ...peerRows,
    ...openSingles,
    ...openGroups,
  ];
}

function middle<Run extends { readonly samplesPerSecond: number }>(runs: readonly Run[]): Run {
  return medianBy(runs, ({ samplesPerSecond }) => samplesPerSecond);
}
