/** The figures: how each is computed from the measurements, and its goal. */
import type { MemoryReading } from '../phases/memory.js';
import type { OpenMeasurement } from '../phases/loops.js';
import type { Round } from '../phases/rounds.js';
import { LATENCY_LOAD, OVERLOAD } from '../plan.js';
import { median } from '../statistics.js';

export interface Measured {
  readonly rounds: readonly Round[];
  readonly openSingles: readonly OpenMeasurement[];
  /** Undefined when there were too few requests for the figure. */
  readonly memory: readonly MemoryReading[] | undefined;
}

export interface Figure {
  /** The key in the line of JSON. */
  readonly name: FigureName;
  readonly meaning: string;
  readonly goal: { readonly atLeast: number } | { readonly atMost: number };
  /** Null when it was not measured. */
  readonly value: number | null;
  /** Why the goal is not reached, independently of the value. */
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
      value: over(({ cheapest, singles }) => cheapest.cpuPerSample / singles.serverCpuPerSample),
    },
    {
      name: 'raw_cpu_ratio_groups8',
      meaning: 'the same for groups of 8',
      goal: { atLeast: 0.95 },
      value: over(({ cheapest, groups }) => cheapest.cpuPerSample / groups.serverCpuPerSample),
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
        ({ oneConnection, oneConnectionPeers }) =>
          oneConnection.latencyMs.p50 / least(oneConnectionPeers.map(({ latencyMs }) => latencyMs.p50)),
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

/** Undefined when it was not measured. */
export function isReached({ goal, value, flaw }: Figure): boolean | undefined {
  if (value === null) return undefined;
  if (flaw !== undefined) return false;
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost;
}

function at(runs: readonly OpenMeasurement[], percent: number): OpenMeasurement[] {
  return runs.filter((run) => run.percent === percent);
}

/** NaN when there is no value; Math.max() would be -Infinity. */
function most(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.max(...values);
}

function least(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.min(...values);
}

/** Null for a ratio without its measurements. */
function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
