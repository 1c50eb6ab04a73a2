/**
 * Measures rounds, in which raw runs, service and peers take turns. A machine that becomes slower slows all of them, and each
 * ratio is computed within a round.
 */
import {
  type BenchContext,
  byProtocol,
  type LoadMeasurement,
  measureClosed,
  measureRaw,
  type MeasuredServer,
  type RawMeasurement,
} from '../measure.js';
import { CAPACITY_CONNECTIONS, type Turn, TURNS } from '../plan.js';
import type { RawRequest } from '../protocol.js';
import { median } from '../statistics.js';
import type { RawSurvey } from './raw.js';

export type ServerTurns = Readonly<Record<Turn, LoadMeasurement>>;

export interface Round {
  /** The raw runs with the most samples per second. */
  readonly fastest: RawMeasurement;
  /** The raw runs with the least CPU time per sample. */
  readonly cheapest: RawMeasurement;
  /** The raw runs of one sample at a time, with ONNX Runtime's default options. */
  readonly rawSingle: RawMeasurement;
  readonly service: ServerTurns;
  /** The service with groups at 16 connections. */
  readonly manyGroups: LoadMeasurement;
  /** Samples at 16 connections by the Open Inference Protocol, and by /score. */
  readonly protocol: Readonly<Record<'infer' | 'score', LoadMeasurement>>;
  /** One per peer. */
  readonly peers: readonly ServerTurns[];
}

const RAW_SINGLE = { kind: 'run', layout: 'default', sessions: 1, batch: 1 } as const;

export async function measureRounds(context: BenchContext, survey: RawSurvey): Promise<Round[]> {
  const { plan, service, peers, onProgress } = context;
  const seconds = plan.turnSeconds;
  const rawRuns = (request: RawRequest) => measureRaw(context, { ...request, seconds });
  const rounds: Round[] = [];
  for (let round = 1; round <= plan.rounds; round += 1) {
    onProgress(`round ${round} of ${plan.rounds}: raw, service and peers take turns`);
    const manyGroups = await measureClosed(context, service, 'group', CAPACITY_CONNECTIONS, seconds);
    const fastest = await rawRuns(survey.fastest);
    const cheapest = survey.cheapest === survey.fastest ? fastest : await rawRuns(survey.cheapest);
    const rawSingle = await rawRuns({ ...RAW_SINGLE, seconds });
    const protocol = await compareProtocol(context, round);
    const [own, ...others] = await takeTurns(context, [service, ...peers]);
    rounds.push({ fastest, cheapest, rawSingle, manyGroups, protocol, service: own!, peers: others });
  }
  return rounds;
}

/** In the other order in every second round, because the first load after the raw runs is slower. */
async function compareProtocol(context: BenchContext, round: number): Promise<Round['protocol']> {
  const { service, plan } = context;
  const singles = (server: MeasuredServer) =>
    measureClosed(context, server, ...TURNS.singles, plan.turnSeconds);
  if (round % 2 === 0) return { score: await singles(service), infer: await singles(byProtocol(service)) };
  const infer = await singles(byProtocol(service));
  return { infer, score: await singles(service) };
}

/** For each load, all servers one after the other. */
async function takeTurns(context: BenchContext, servers: readonly MeasuredServer[]): Promise<ServerTurns[]> {
  const measured = servers.map((): Partial<Record<Turn, LoadMeasurement>> => ({}));
  const seconds = context.plan.turnSeconds;
  for (const [turn, [load, connections]] of Object.entries(TURNS)) {
    for (const [index, server] of servers.entries())
      measured[index]![turn as Turn] = await measureClosed(context, server, load, connections, seconds);
  }
  return measured as ServerTurns[];
}

/** The peer with the most samples per second at 16 connections. */
export function bestPeer({ peers }: BenchContext, rounds: readonly Round[]): MeasuredServer {
  const rates = peers.map((_, index) =>
    median(rounds.map((round) => round.peers[index]!.singles.samplesPerSecond)),
  );
  return peers[rates.indexOf(Math.max(...rates))]!;
}
