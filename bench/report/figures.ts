/** The figures: how each is computed from the measurements, and its goal. */
import type { LoadMeasurement } from '../measure.js';
import type { LoopHold } from '../phases/event-loop.js';
import type { FairnessMeasurement } from '../phases/fairness.js';
import type { MemoryReading, StartMeasurement } from '../phases/memory.js';
import type { OpenMeasurement } from '../phases/open-loops.js';
import type { Round } from '../phases/rounds.js';
import { NODE_PEER, type Turn } from '../plan.js';
import { median } from '../statistics.js';

export const BYTES_PER_MIB = 1_048_576;
/** As many polite requests must be scored without the flood, or the machine is too busy for the figure. */
const MIN_SCORED_ALONE = 0.9;

/** Each figure's bound, and what it is. */
const GOALS = {
  raw_cpu_ratio_c16: ['≥', 0.85, 'raw’s CPU s per sample ÷ the service’s, 16 connections'],
  raw_cpu_ratio_groups8: ['≥', 0.95, 'the same for groups of 8'],
  raw_ratio_c16: ['≥', 0.75, 'samples/s at 16 connections ÷ raw samples/s'],
  raw_ratio_groups8: ['≥', 0.85, 'the same for groups of 8'],
  peer_p50_ratio_c1: ['≤', 1, 'p50 of a lone sample ÷ the better FastAPI server’s'],
  peer_group_p50_ratio_c1: ['≤', 1, 'p50 of a lone group of 8 ÷ the better FastAPI server’s'],
  peer_ratio_c16: ['≥', 1, 'samples/s at 16 connections ÷ the better FastAPI server’s'],
  peer_group_ratio_c4: ['≥', 1.05, 'samples/s of groups at 4 connections ÷ the better FastAPI server’s'],
  protocol_ratio_c16: ['≥', 0.9, 'samples/s by the Open Inference Protocol ÷ by /score'],
  overhead_ms_c1: ['≤', 0.65, 'p50 of a lone sample − the median of its stage inference, ms'],
  cpu_ms_ratio_c1: ['≤', 1.5, 'CPU s of a lone sample ÷ that of a raw run with default options'],
  p99_ratio_75: ['≤', 6, 'p99 at 75% of capacity ÷ one raw run of one sample'],
  p99_peer_ratio_75: ['≤', 0.8, 'p99 at 75% of capacity ÷ the best peer’s with the same arrivals'],
  goodput_110: ['≥', 0.85, 'useful answers/s at 110% ÷ capacity'],
  goodput_200: ['≥', 0.85, 'useful answers/s at 200% ÷ capacity'],
  late_200: ['≤', 0.003, 'share answered after the deadline or never at 200%'],
  loop_ms_max: ['≤', 20, 'longest hold of the event loop by one request, ms'],
  polite_scored: ['≥', 0.95, 'share of a polite client’s requests that are scored beside a flood'],
  ready_s: ['≤', 1.5, 'from the start of the process to ready, s'],
  pss_idle_mib: ['≤', 250, 'memory of an idle service, MiB'],
  rss_ratio: ['≤', 1.03, 'memory after 100,000 requests ÷ after 10,000'],
} as const;

export type FigureName = keyof typeof GOALS;

export interface Measured {
  readonly rounds: readonly Round[];
  readonly openSingles: readonly OpenMeasurement[];
  readonly memory: readonly MemoryReading[];
  /** Whether there were enough requests for the figure rss_ratio. */
  readonly isMemoryFull: boolean;
  readonly starts: StartMeasurement;
  readonly loopHolds: readonly LoopHold[];
  readonly fairness: FairnessMeasurement;
}

export interface Figure {
  /** The key in the line of JSON. */
  readonly name: FigureName;
  readonly meaning: string;
  readonly bound: '≤' | '≥';
  readonly goal: number;
  /** Null when it was not measured. */
  readonly value: number | null;
}

export function figuresOf(measured: Measured): Figure[] {
  return Object.entries(valuesOf(measured)).map(([key, value]) => {
    const name = key as FigureName;
    const [bound, goal, meaning] = GOALS[name];
    // A ratio without its measurements is not finite.
    return { name, meaning, bound, goal, value: Number.isFinite(value) ? value : null };
  });
}

/** Undefined when it was not measured. */
export function isReached({ bound, goal, value }: Figure): boolean | undefined {
  if (value === null) return undefined;
  return bound === '≥' ? value >= goal : value <= goal;
}

function valuesOf(measured: Measured) {
  const { rounds, openSingles, memory, isMemoryFull, starts, loopHolds, fairness } = measured;
  const over = (figure: (round: Round) => number): number => median(rounds.map(figure));
  const open = (percent: number): OpenMeasurement[] => openSingles.filter((run) => run.percent === percent);
  const goodput = (run: OpenMeasurement): number => run.samplesPerSecond / run.capacity;
  const sum = (count: 'late' | 'lost' | 'sent'): number =>
    open(200).reduce((total, run) => total + run[count], 0);
  const { alone, besideFlood } = fairness;
  return {
    raw_cpu_ratio_c16: over(
      (round) => round.cheapest.cpuPerSample / round.service.singles.serverCpuPerSample,
    ),
    raw_cpu_ratio_groups8: over((round) => round.cheapest.cpuPerSample / round.manyGroups.serverCpuPerSample),
    raw_ratio_c16: over((round) => rate(round.service.singles) / round.fastest.samplesPerSecond),
    raw_ratio_groups8: over((round) => rate(round.manyGroups) / round.fastest.samplesPerSecond),
    peer_p50_ratio_c1: over((round) => p50(round.service.single) / least(fastApi(round, 'single').map(p50))),
    peer_group_p50_ratio_c1: over(
      (round) => p50(round.service.group) / least(fastApi(round, 'group').map(p50)),
    ),
    peer_ratio_c16: over((round) => rate(round.service.singles) / most(fastApi(round, 'singles').map(rate))),
    peer_group_ratio_c4: over(
      (round) => rate(round.service.groups) / most(fastApi(round, 'groups').map(rate)),
    ),
    protocol_ratio_c16: over(({ protocol }) => rate(protocol.infer) / rate(protocol.score)),
    overhead_ms_c1: over(({ service }) => p50(service.single) - service.single.inferenceMs.p50),
    cpu_ms_ratio_c1: over((round) => round.service.single.serverCpuPerSample / round.rawSingle.cpuPerSample),
    p99_ratio_75: median(open(75).map(({ latencyMs, rawRunMs }) => latencyMs.p99 / rawRunMs)),
    p99_peer_ratio_75: median(open(75).map((run) => run.latencyMs.p99 / (run.peer?.latencyMs.p99 ?? NaN))),
    goodput_110: median(open(110).map(goodput)),
    goodput_200: median(open(200).map(goodput)),
    late_200: (sum('late') + sum('lost')) / sum('sent'),
    loop_ms_max: most(loopHolds.map(({ ms }) => ms)),
    polite_scored: scored(alone) < MIN_SCORED_ALONE ? NaN : scored(besideFlood),
    ready_s: starts.readySeconds,
    pss_idle_mib: starts.idleBytes / BYTES_PER_MIB,
    rss_ratio: isMemoryFull ? (memory[1]?.bytes ?? NaN) / (memory[0]?.bytes ?? NaN) : NaN,
  } satisfies Record<FigureName, number>;
}

/** The FastAPI servers of a round. */
function fastApi({ peers }: Round, turn: Turn): LoadMeasurement[] {
  return peers.map((peer) => peer[turn]).filter(({ server }) => server !== NODE_PEER);
}

function p50({ latencyMs }: Pick<LoadMeasurement, 'latencyMs'>): number {
  return latencyMs.p50;
}

function rate({ samplesPerSecond }: LoadMeasurement): number {
  return samplesPerSecond;
}

function scored({ useful, sent }: Pick<LoadMeasurement, 'useful' | 'sent'>): number {
  return useful / sent;
}

/** NaN when there is no value; Math.max() would be -Infinity. */
function most(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.max(...values);
}

function least(values: readonly number[]): number {
  return values.length === 0 ? NaN : Math.min(...values);
}
