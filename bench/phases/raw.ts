/** Measures the raw runs over layouts and batch sizes: the upper limit of the machine. */
import { type BenchContext, measureRaw, type RawMeasurement } from '../measure.js';
import { BATCH_SIZES } from '../plan.js';
import { LAYOUTS, type RawRequest } from '../protocol.js';

export interface RawSurvey {
  /** With all sessions of a layout. */
  readonly parallel: readonly RawMeasurement[];
  /** With one session, one sample at a time. */
  readonly single: readonly RawMeasurement[];
  /** With the most samples per second. */
  readonly fastest: RawRequest;
  /** With the least CPU time per sample. */
  readonly cheapest: RawRequest;
  /** With the shortest run of one sample in a single session. */
  readonly shortest: RawRequest;
}

export async function surveyRaw(context: BenchContext): Promise<RawSurvey> {
  const seconds = context.plan.rawSeconds;
  const parallel: RawMeasurement[] = [];
  for (const batch of BATCH_SIZES) {
    for (const layout of LAYOUTS) {
      context.onProgress(`raw runs: ${layout} options, batches of ${batch}`);
      parallel.push(await measureRaw(context, { kind: 'run', layout, batch, seconds }));
    }
  }
  const single: RawMeasurement[] = [];
  for (const layout of LAYOUTS) {
    context.onProgress(`raw runs: ${layout} options, one sample at a time`);
    single.push(await measureRaw(context, { kind: 'run', layout, sessions: 1, batch: 1, seconds }));
  }
  return {
    parallel,
    single,
    fastest: least(parallel, ({ samplesPerSecond }) => -samplesPerSecond).request,
    cheapest: least(parallel, ({ cpuPerSample }) => cpuPerSample).request,
    shortest: least(single, ({ runMs }) => runMs).request,
  };
}

/** The first when all keys are NaN, as they are where CPU times are unknown. */
function least(all: readonly RawMeasurement[], key: (one: RawMeasurement) => number): RawMeasurement {
  return all.reduce((best, one) => (key(one) < key(best) ? one : best));
}
