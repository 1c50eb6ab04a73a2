/** The report: the results as tables, and last the line of JSON. */
import type { LoadMeasurement } from '../measure.js';
import type { OpenMeasurement } from '../phases/open-loops.js';
import type { RawSurvey } from '../phases/raw.js';
import type { Round, ServerTurns } from '../phases/rounds.js';
import { type Turn, TURNS } from '../plan.js';
import { medianBy } from '../statistics.js';
import { figuresOf, type Measured } from './figures.js';
import { figureTable, jsonLine, loadTable, loopTable, memoryTable, rawTable } from './tables.js';

export interface Results extends Measured {
  /** Printed above the figures. */
  readonly notes: readonly string[];
  readonly survey: RawSurvey;
  readonly openGroups: readonly OpenMeasurement[];
}

export function reportText(results: Results): string {
  const { notes, survey, rounds, memory, loopHolds } = results;
  const figures = figuresOf(results);
  const rawRuns = [
    ...survey.parallel,
    ...survey.single,
    middle(rounds.map(({ fastest }) => fastest)),
    middle(rounds.map(({ cheapest }) => cheapest)),
    middle(rounds.map(({ rawSingle }) => rawSingle)),
  ];
  const sections = [
    notes.join('\n'),
    rawTable(rawRuns),
    loadTable(loadRows(results)),
    memoryTable(memory),
    loopTable(loopHolds),
    figureTable(figures),
    jsonLine(figures),
  ];
  return sections.join('\n\n');
}

/** One row per load; of the loads in the rounds, the median. */
function loadRows({ rounds, openSingles, openGroups }: Results): LoadMeasurement[] {
  const rowsOf = (turns: (round: Round) => ServerTurns): LoadMeasurement[] =>
    (Object.keys(TURNS) as Turn[]).map((turn) => middle(rounds.map((round) => turns(round)[turn])));
  const peerRows = (rounds[0]?.peers ?? []).flatMap((_, index) => rowsOf(({ peers }) => peers[index]!));
  return [
    ...rowsOf(({ service }) => service),
    middle(rounds.map(({ manyGroups }) => manyGroups)),
    ...peerRows,
    ...openSingles.flatMap((run) => (run.peer ? [run, run.peer] : [run])),
    ...openGroups,
  ];
}

function middle<Run extends { readonly samplesPerSecond: number }>(all: readonly Run[]): Run {
  return medianBy(all, ({ samplesPerSecond }) => samplesPerSecond);
}
