/** The closed loops beside those of the rounds, and the open loops with Poisson arrivals at shares of the capacity. */
import {
  type BenchContext,
  type LoadMeasurement,
  measureClosed,
  measureLoad,
  measureRaw,
} from '../measure.js';
import {
  CONNECTIONS,
  DEADLINE_MS,
  FIRST_SEED,
  LATENCY_LOAD,
  OPEN_LOADS,
  OVERLOAD,
  RATIO_CONNECTIONS,
} from '../plan.js';
import { type Load, type RawRequest, SAMPLES_PER_REQUEST } from '../protocol.js';

export interface OpenMeasurement extends LoadMeasurement {
  /** The load in per cent of the capacity. */
  readonly percent: number;
  /** Samples/s in a closed loop just before. */
  readonly capacity: number;
  /** The time of one raw run of one sample just before, ms. */
  readonly rawRunMs: number;
}

/** How rate and latency depend on the number of connections. */
export async function measureClosedLoops(context: BenchContext, load: Load): Promise<LoadMeasurement[]> {
  const { service, plan, onProgress } = context;
  const measurements: LoadMeasurement[] = [];
  for (const connections of CONNECTIONS) {
    // The rounds have these already.
    if (connections === RATIO_CONNECTIONS || (load === 'single' && connections === 1)) continue;
    onProgress(`closed loop: ${load}, ${connections} connections`);
    measurements.push(await measureClosed(context, service, load, connections, plan.closedSeconds));
  }
  return measurements;
}

/** @param shortest the raw run to measure before each loop. */
export async function measureOpenLoops(
  context: BenchContext,
  load: Load,
  shortest: RawRequest,
): Promise<OpenMeasurement[]> {
  const { plan, service, onProgress } = context;
  const measurements: OpenMeasurement[] = [];
  for (const percent of OPEN_LOADS) {
    const isFigure = load === 'single' && (percent === LATENCY_LOAD || percent === OVERLOAD);
    for (let repeat = 0; repeat < (isFigure ? plan.repeats : 1); repeat += 1) {
      onProgress(`open loop: ${load}, ${percent}% of capacity`);
      const { runMs } = await measureRaw(context, { ...shortest, seconds: plan.rawSeconds });
      const closed = await measureClosed(context, service, load, RATIO_CONNECTIONS, plan.capacitySeconds);
      const capacity = closed.samplesPerSecond;
      const measured = await measureLoad(
        context,
        service,
        {
          kind: 'open',
          load,
          requestsPerSecond: (capacity * percent) / 100 / SAMPLES_PER_REQUEST[load],
          seconds: plan.openSeconds,
          seed: FIRST_SEED + measurements.length,
          ...(percent === OVERLOAD && { deadlineMs: DEADLINE_MS }),
        },
        `open, ${percent}%`,
      );
      measurements.push({ ...measured, percent, capacity, rawRunMs: runMs });
    }
  }
  return measurements;
}
