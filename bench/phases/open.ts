/** Owns the open loops: Poisson arrivals at shares of the capacity. */
import { type BenchContext, type LoadPlan, type LoadRun, measureLoad, measureRaw } from '../bench-context.js';
import { type Load, SAMPLES_PER_REQUEST } from '../load/protocol.js';
import { DEADLINE_MS, FIRST_SEED, LATENCY_LOAD, OPEN_LOADS, OVERLOAD } from '../plan.js';
import type { RunOrder } from '../raw/protocol.js';

export interface OpenRun extends LoadRun {
  /** Of the capacity, in per cent. */
  readonly percent: number;
  /** One raw run of one sample just before, ms. */
  readonly rawRunMs: number;
}

/**
 * @param capacity what the service does in a closed loop, samples/s.
 * @param promptest the raw run to measure before each.
 */
export async function runOpen(
  context: BenchContext,
  load: Load,
  capacity: number,
  promptest: RunOrder,
): Promise<OpenRun[]> {
  const { plan, service } = context;
  const runs: OpenRun[] = [];
  for (const percent of OPEN_LOADS) {
    const repeats = load === 'single' && percent === LATENCY_LOAD ? plan.repeats : 1;
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      context.tell(`open loop: ${load}, ${percent}% of capacity`);
      const { runMs } = await measureRaw(context, { ...promptest, seconds: plan.rawSeconds });
      const order: LoadPlan = {
        kind: 'open',
        load,
        requestsPerSecond: (capacity * percent) / 100 / SAMPLES_PER_REQUEST[load],
        seconds: plan.openSeconds,
        seed: FIRST_SEED + runs.length,
        ...(percent === OVERLOAD && { deadlineMs: DEADLINE_MS }),
      };
      const run = await measureLoad(context, service, order, `open, ${percent}%`);
      runs.push({ ...run, percent, rawRunMs: runMs });
    }
  }
  return runs;
}
