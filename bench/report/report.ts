/** The report: the results as tables, and last the line of JSON. */
import type { LoadMeasurement } from '../measure.js';
import type { LoopHold } from '../phases/event-loop.js';
import type { FairnessMeasurement } from '../phases/fairness.js';
import type { MemoryReading, StartMeasurement } from '../phases/memory.js';
import type { OpenMeasurement } from '../phases/loops.js';
import type { RawSurvey } from '../phases/raw.js';
import type { Round, ServerTurns } from '../phases/rounds.js';
import { type Turn, TURNS } from '../plan.js';
import { medianBy } from '../statistics.js';
import { figuresOf } from './figures.js';
import { figureTable, jsonLine, loadTable, loopTable, memoryTable, rawTable } from './tables.js';

export interface Results {
  /** Printed above the figures. */
  readonly notes: readonly string[];
  readonly survey: RawSurvey;
  readonly rounds: readonly Round[];
  /** The closed loops beside those of the rounds. */
  readonly closed: readonly LoadMeasurement[];
  readonly openSingles: readonly OpenMeasurement[];
  readonly openGroups: readonly OpenMeasurement[];
  readonly memory: readonly MemoryReading[];
  readonly starts: StartMeasurement;
  readonly loopHolds: readonly LoopHold[];
  readonly fairness: FairnessMeasurement;
  /** Whether there were enough requests for the figure rss_ratio. */
  readonly isMemoryFull: boolean;
}

export function reportText(results: Results): string {
  const { notes, survey, rounds, memory, isMemoryFull, loopHolds } = results;
  const figures = figuresOf({ ...results, memory: isMemoryFull ? memory : undefined });
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
function loadRows({ rounds, closed, openSingles, openGroups }: Results): LoadMeasurement[] {
  const rowsOf = (turns: (round: Round) => ServerTurns): LoadMeasurement[] =>
    (Object.keys(TURNS) as Turn[]).map((turn) => middle(rounds.map((round) => turns(round)[turn])));
  const peerRows = (rounds[0]?.peers ?? []).flatMap((_, index) => rowsOf(({ peers }) => peers[index]!));
  return [
    ...rowsOf(({ service }) => service),
    middle(rounds.map(({ manyGroups }) => manyGroups)),
    ...closed,
    ...peerRows,
    ...openSingles.flatMap((run) => (run.peer ? [run, run.peer] : [run])),
    ...openGroups,
  ];
}

function middle<Measured extends { readonly samplesPerSecond: number }>(all: readonly Measured[]): Measured {
  return medianBy(all, ({ samplesPerSecond }) => samplesPerSecond);
}
