/** Owns the figures: how each comes out of what was measured, and its goal. */
import type { MemoryReading } from '../phases/memory.js';
import type { OpenRun } from '../phases/open.js';
import type { Round } from '../phases/rounds.js';
import { LATENCY_LOAD, OVERLOAD } from '../plan.js';
import { median } from '../statistics.js';

export interface Measured {
  readonly rounds: readonly Round[];
  readonly openSingles: readonly OpenRun[];
  /** Undefined where the run was too short for the figure. */
  readonly memory: readonly MemoryReading[] | undefined;
}

export interface Figure {
  /** In the line of JSON. */
  readonly name: FigureName;
  readonly meaning: string;
  readonly goal: { readonly atLeast: number } | { readonly atMost: number };
  /** Null where it was not measured. */
  readonly value: number | null;
  /** What keeps the goal from being reached, whatever the value is. */
  readonly flaw?: string;
}

export type FigureName =
  | 'raw_ratio_c16'
  | 'raw_cpu_ratio_c16'
  | 'raw_ratio_groups8'
  | 'raw_cpu_ratio_groups8'
  | 'peer_ratio_c16'
  | 'peer_p50_ratio_c1'
  | 'p99_ratio_75'
  | 'goodput_200'
  | 'rss_ratio';

export function figuresOf({ rounds, openSingles, memory }: Measured): Figure[] {
  const overload = at(openSingles, OVERLOAD);
  const missed = overload.reduce((sum, { late, lost }) => sum + late + lost, 0);
  const sent = overload.reduce((sum, run) => sum + run.sent, 0);
  const over = (ratio: (round: Round) => number): number | null => known(median(rounds.map(ratio)));
  return [
    {
      name: 'raw_cpu_ratio_c16',
      meaning: 'raw’s CPU s per sample ÷ the service’s, 16 connections',
      goal: { atLeast: 0.85 },
      value: over(({ thriftiest, singles }) => thriftiest.cpuPerSample / singles.serverCpuPerSample),
    },
    {
      name: 'raw_cpu_ratio_groups8',
      meaning: 'the same for groups of 8',
      goal: { atLeast: 0.95 },
      value: over(({ thriftiest, groups }) => thriftiest.cpuPerSample / groups.serverCpuPerSample),
    },
    {
      name: 'raw_ratio_c16',
      meaning: 'samples/s at 16 connections ÷ raw samples/s',
      goal: { atLeast: 0.75 },
      value: over(({ fastest, singles }) => singles.samplesPerSecond / fastest.samplesPerSecond),
    },
    {
      name: 'raw_ratio_groups8',
      meaning: 'groups of 8: samples/s ÷ raw samples/s',
      goal: { atLeast: 0.85 },
      value: over(({ fastest, groups }) => groups.samplesPerSecond / fastest.samplesPerSecond),
    },
    {
      name: 'peer_ratio_c16',
      meaning: 'samples/s at 16 connections ÷ the best peer’s',
      goal: { atLeast: 2 },
      value: over(
        ({ singles, peers }) => singles.samplesPerSecond / most(peers.map((peer) => peer.samplesPerSecond)),
      ),
    },
    {
      name: 'peer_p50_ratio_c1',
      meaning: 'p50 at 1 connection ÷ the best peer’s',
      goal: { atMost: 1 },
      value: over(
        ({ lone, lonePeers }) => lone.latencyMs.p50 / least(lonePeers.map(({ latencyMs }) => latencyMs.p50)),
      ),
    },
    {
      name: 'p99_ratio_75',
      meaning: 'p99 at 75% of capacity ÷ one raw run of one sample',
      goal: { atMost: 6 },
      value: known(
        median(at(openSingles, LATENCY_LOAD).map(({ latencyMs, rawRunMs }) => latencyMs.p99 / rawRunMs)),
      ),
    },
    {
      name: 'goodput_200',
      meaning: 'at 200%: useful answers/s ÷ capacity, all others answered in time',
      goal: { atLeast: 0.9 },
      value: known(median(overload.map(({ samplesPerSecond, capacity }) => samplesPerSecond / capacity))),
      ...(missed > 0 && { flaw: `${missed} of ${sent} late or lost` }),
    },
    {
      name: 'rss_ratio',
      meaning: 'memory after 100,000 requests ÷ after 10,000',
      goal: { atMost: 1.05 },
      value: memory ? known((memory[1]?.bytes ?? NaN) / (memory[0]?.bytes ?? NaN)) : null,
    },
  ];
}

/** Undefined where it was not measured. */
export function isReached({ goal, value, flaw }: Figure): boolean | undefined {
  if (value === null) return undefined;
  if (flaw !== undefined) return false;
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost;
}

function at(runs: readonly OpenRun[], percent: number): OpenRun[] {
  return runs.filter((run) => run.percent === percent);
}

/** NaN when there is no value, as is the next: Math.max() would be -Infinity. */
function most(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.max(...values);
}

function least(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.min(...values);
}

/** What could not be computed was not measured. */
function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
