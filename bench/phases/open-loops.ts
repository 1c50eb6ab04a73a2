/** The open loops, with Poisson arrivals at shares of the capacity. */
import {
  type BenchContext,
  type LoadMeasurement,
  measureClosed,
  measureLoad,
  type MeasuredServer,
  measureRaw,
} from '../measure.js';
import {
  CAPACITY_CONNECTIONS,
  DEADLINE_MS,
  FIGURE_LOADS,
  FIRST_SEED,
  LATENCY_LOAD,
  OPEN_LOADS,
} from '../plan.js';
import { type RawRequest, SAMPLES_PER_REQUEST } from '../protocol.js';

export interface OpenMeasurement extends LoadMeasurement {
  /** The load in per cent of the capacity. */
  readonly percent: number;
  /** Samples/s in a closed loop just before. */
  readonly capacity: number;
  /** The time of one raw run of one sample just before, ms. */
  readonly rawRunMs: number;
  /** The best peer with the same arrivals just after, at the load whose p99 is a figure. */
  readonly peer?: LoadMeasurement;
}

/** @param shortest the raw run to measure before each loop. @param peer gets the arrivals of the figure p99_peer_ratio_75. */
export async function measureOpenLoops(
  context: BenchContext,
  load: keyof typeof OPEN_LOADS,
  shortest: RawRequest,
  peer: MeasuredServer,
): Promise<OpenMeasurement[]> {
  const { plan, service, onProgress } = context;
  const measurements: OpenMeasurement[] = [];
  for (const percent of OPEN_LOADS[load]) {
    const isFigure = load === 'single' && FIGURE_LOADS.has(percent);
    for (let repeat = 0; repeat < (isFigure ? plan.repeats : 1); repeat += 1) {
      onProgress(`open loop: ${load}, ${percent}% of capacity`);
      const { runMs } = await measureRaw(context, { ...shortest, seconds: plan.rawSeconds });
      const closed = await measureClosed(context, service, load, CAPACITY_CONNECTIONS, plan.capacitySeconds);
      const capacity = closed.samplesPerSecond;
      const loop = {
        kind: 'open',
        load,
        requestsPerSecond: (capacity * percent) / 100 / SAMPLES_PER_REQUEST[load],
        seconds: plan.openSeconds,
        seed: FIRST_SEED + measurements.length,
        ...(percent > 100 && { deadlineMs: DEADLINE_MS }),
      } as const;
      const name = `open, ${percent}%`;
      const measured = await measureLoad(context, service, loop, name);
      const isCompared = isFigure && percent === LATENCY_LOAD;
      const compared = isCompared ? { peer: await measureLoad(context, peer, loop, name) } : {};
      measurements.push({ ...measured, ...compared, percent, capacity, rawRunMs: runMs });
    }
  }
  return measurements;
}
