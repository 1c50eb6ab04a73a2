/** The report: the results as tables, and last the line of JSON. */
import type { LoadMeasurement } from '../measure.js';
import type { MemoryReading } from '../phases/memory.js';
import type { OpenMeasurement } from '../phases/loops.js';
import type { RawSurvey } from '../phases/raw.js';
import type { Round } from '../phases/rounds.js';
import { medianBy } from '../statistics.js';
import { figuresOf } from './figures.js';
import { figureTable, jsonLine, loadTable, memoryTable, rawTable } from './tables.js';

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
  /** Whether there were enough requests for the figure rss_ratio. */
  readonly isMemoryFull: boolean;
}

export function reportText(results: Results): string {
  const { notes, survey, rounds, memory, isMemoryFull, openSingles } = results;
  const figures = figuresOf({
    rounds,
    openSingles,
    memory: isMemoryFull ? memory : undefined,
  });
  const rawRuns = [
    ...survey.parallel,
    ...survey.single,
    middle(rounds.map(({ fastest }) => fastest)),
    middle(rounds.map(({ cheapest }) => cheapest)),
  ];
  const sections = [
    notes.join('\n'),
    rawTable(rawRuns),
    loadTable(loadRows(results)),
    memoryTable(memory),
    figureTable(figures),
    jsonLine(figures),
  ];
  return sections.join('\n\n');
}

/** One row per load; of the loads in the rounds, the median. */
function loadRows({ rounds, closed, openSingles, openGroups }: Results): LoadMeasurement[] {
  const peers = rounds[0]?.peers ?? [];
  const peerRows = peers.flatMap((_, index) => [
    middle(rounds.flatMap(({ oneConnectionPeers }) => oneConnectionPeers.slice(index, index + 1))),
    middle(rounds.flatMap((round) => round.peers.slice(index, index + 1))),
  ]);
  return [
    middle(rounds.map(({ oneConnection }) => oneConnection)),
    middle(rounds.map(({ singles }) => singles)),
    middle(rounds.map(({ groups }) => groups)),
    ...closed,
    ...peerRows,
    ...openSingles,
    ...openGroups,
  ];
}

function middle<Measured extends { readonly samplesPerSecond: number }>(all: readonly Measured[]): Measured {
  return medianBy(all, ({ samplesPerSecond }) => samplesPerSecond);
}
