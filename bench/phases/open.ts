/** Owns the open loops: Poisson arrivals at shares of the capacity, which is measured just before each. */
import {
  type BenchContext,
  type LoadPlan,
  type LoadRun,
  measureClosed,
  measureLoad,
  measureRaw,
} from '../bench-context.js';
import { type Load, SAMPLES_PER_REQUEST } from '../load/protocol.js';
import { DEADLINE_MS, FIRST_SEED, LATENCY_LOAD, OPEN_LOADS, OVERLOAD } from '../plan.js';
import type { RunOrder } from '../raw/protocol.js';
import { RATIO_CONNECTIONS } from './rounds.js';

export interface OpenRun extends LoadRun {
  /** Of the capacity, in per cent. */
  readonly percent: number;
  /** In a closed loop just before, samples/s. */
  readonly capacity: number;
  /** One raw run of one sample just before, ms. */
  readonly rawRunMs: number;
}

/** @param promptest the raw run to measure before each. */
export async function runOpen(context: BenchContext, load: Load, promptest: RunOrder): Promise<OpenRun[]> {
  const { plan, service } = context;
  const runs: OpenRun[] = [];
  for (const percent of OPEN_LOADS) {
    const isFigure = load === 'single' && (percent === LATENCY_LOAD || percent === OVERLOAD);
    for (let repeat = 0; repeat < (isFigure ? plan.repeats : 1); repeat += 1) {
      context.tell(`open loop: ${load}, ${percent}% of capacity`);
      const { runMs } = await measureRaw(context, { ...promptest, seconds: plan.rawSeconds });
      const closed = await measureClosed(context, service, load, RATIO_CONNECTIONS, plan.capacitySeconds);
      const capacity = closed.samplesPerSecond;
      const order: LoadPlan = {
        kind: 'open',
        load,
        requestsPerSecond: (capacity * percent) / 100 / SAMPLES_PER_REQUEST[load],
        seconds: plan.openSeconds,
        seed: FIRST_SEED + runs.length,
        ...(percent === OVERLOAD && { deadlineMs: DEADLINE_MS }),
      };
      const run = await measureLoad(context, service, order, `open, ${percent}%`);
      runs.push({ ...run, percent, capacity, rawRunMs: runMs });
    }
  }
  return runs;
}
