/** Owns the closed loops beside those of the rounds: how rate and latency go with the number of connections. */
import { type BenchContext, type LoadRun, measureClosed } from '../bench-context.js';
import type { Load } from '../load/protocol.js';
import { CONNECTIONS } from '../plan.js';
import { RATIO_CONNECTIONS } from './rounds.js';

export async function runClosed(context: BenchContext, load: Load): Promise<LoadRun[]> {
  const runs: LoadRun[] = [];
  for (const connections of CONNECTIONS) {
    if (connections === RATIO_CONNECTIONS || (load === 'single' && connections === 1)) continue;
    context.tell(`closed loop: ${load}, ${connections} connections`);
    runs.push(await measureClosed(context, context.service, load, connections, context.plan.closedSeconds));
  }
  return runs;
}
