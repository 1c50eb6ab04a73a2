/**
 * Owns the rounds in which those that are compared take turns: what the machine's speed does in the meantime meets all of
 * them alike. Each ratio is taken within a round.
 */
import { type BenchContext, type LoadRun, measureClosed, measureRaw, type RawRun } from '../bench-context.js';
import type { RawSurvey } from './raw.js';

/** The number of connections at which ratios are taken. */
export const RATIO_CONNECTIONS = 16;

export interface Round {
  /** The fastest and the thriftiest raw runs. */
  readonly fastest: RawRun;
  readonly thriftiest: RawRun;
  readonly singles: LoadRun;
  readonly groups: LoadRun;
  /** One per peer, as are the next. */
  readonly peers: readonly LoadRun[];
  /** At one connection. */
  readonly lone: LoadRun;
  readonly lonePeers: readonly LoadRun[];
}

export async function runRounds(context: BenchContext, survey: RawSurvey): Promise<Round[]> {
  const { plan, service, peers, tell } = context;
  const seconds = plan.turnSeconds;
  const rounds: Round[] = [];
  for (let round = 1; round <= plan.rounds; round += 1) {
    tell(`round ${round} of ${plan.rounds}: raw, service and peers take turns`);
    const fastest = await measureRaw(context, { ...survey.fastest, seconds });
    const singles = await measureClosed(context, service, 'single', RATIO_CONNECTIONS, seconds);
    const groups = await measureClosed(context, service, 'group', RATIO_CONNECTIONS, seconds);
    const thriftiest =
      survey.thriftiest === survey.fastest
        ? fastest
        : await measureRaw(context, { ...survey.thriftiest, seconds });
    const busyPeers: LoadRun[] = [];
    for (const peer of peers)
      busyPeers.push(await measureClosed(context, peer, 'single', RATIO_CONNECTIONS, seconds));
    const lone = await measureClosed(context, service, 'single', 1, seconds);
    const lonePeers: LoadRun[] = [];
    for (const peer of peers) lonePeers.push(await measureClosed(context, peer, 'single', 1, seconds));
    rounds.push({ fastest, thriftiest, singles, groups, peers: busyPeers, lone, lonePeers });
  }
  return rounds;
}
