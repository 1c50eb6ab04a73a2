/**
 * Measures rounds, in which raw runs, service and peers take turns. A machine that becomes slower slows all of them, and each
 * ratio is computed within a round.
 */
import {
  type BenchContext,
  type LoadMeasurement,
  measureClosed,
  measureRaw,
  type RawMeasurement,
} from '../measure.js';
import { RATIO_CONNECTIONS } from '../plan.js';
import type { RawSurvey } from './raw.js';

export interface Round {
  /** The raw runs with the most samples per second. */
  readonly fastest: RawMeasurement;
  /** The raw runs with the least CPU time per sample. */
  readonly cheapest: RawMeasurement;
  readonly singles: LoadMeasurement;
  readonly groups: LoadMeasurement;
  /** One per peer. */
  readonly peers: readonly LoadMeasurement[];
  /** The service and the peers at one connection. */
  readonly oneConnection: LoadMeasurement;
  readonly oneConnectionPeers: readonly LoadMeasurement[];
}

export async function measureRounds(context: BenchContext, survey: RawSurvey): Promise<Round[]> {
  const { plan, service, peers, onProgress } = context;
  const seconds = plan.turnSeconds;
  const rounds: Round[] = [];
  for (let round = 1; round <= plan.rounds; round += 1) {
    onProgress(`round ${round} of ${plan.rounds}: raw, service and peers take turns`);
    const fastest = await measureRaw(context, { ...survey.fastest, seconds });
    const singles = await measureClosed(context, service, 'single', RATIO_CONNECTIONS, seconds);
    const groups = await measureClosed(context, service, 'group', RATIO_CONNECTIONS, seconds);
    const cheapest =
      survey.cheapest === survey.fastest
        ? fastest
        : await measureRaw(context, { ...survey.cheapest, seconds });
    const busyPeers: LoadMeasurement[] = [];
    for (const peer of peers)
      busyPeers.push(await measureClosed(context, peer, 'single', RATIO_CONNECTIONS, seconds));
    const oneConnection = await measureClosed(context, service, 'single', 1, seconds);
    const oneConnectionPeers: LoadMeasurement[] = [];
    for (const peer of peers)
      oneConnectionPeers.push(await measureClosed(context, peer, 'single', 1, seconds));
    rounds.push({ fastest, cheapest, singles, groups, peers: busyPeers, oneConnection, oneConnectionPeers });
  }
  return rounds;
}
