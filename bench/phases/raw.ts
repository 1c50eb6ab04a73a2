/** Owns what the machine can do at best: the raw runs over layouts and batch sizes. */
import { type BenchContext, measureRaw, type RawRun } from '../bench-context.js';
import { BATCH_SIZES } from '../plan.js';
import { LAYOUTS, type RunOrder } from '../raw/protocol.js';

export interface RawSurvey {
  /** All sessions of a layout at once. */
  readonly runs: readonly RawRun[];
  /** One session, one sample at a time. */
  readonly alone: readonly RawRun[];
  /** With the most samples per second. */
  readonly fastest: RunOrder;
  /** With the least CPU time per sample. */
  readonly thriftiest: RunOrder;
  /** With the shortest run of one sample, nothing else running. */
  readonly promptest: RunOrder;
}

export async function surveyRaw(context: BenchContext): Promise<RawSurvey> {
  const seconds = context.plan.rawSeconds;
  const runs: RawRun[] = [];
  for (const batch of BATCH_SIZES) {
    for (const layout of LAYOUTS) {
      context.tell(`raw runs: ${layout} options, batches of ${batch}`);
      runs.push(await measureRaw(context, { kind: 'run', layout, batch, seconds }));
    }
  }
  const alone: RawRun[] = [];
  for (const layout of LAYOUTS) {
    context.tell(`raw runs: ${layout} options, one sample at a time`);
    alone.push(await measureRaw(context, { kind: 'run', layout, sessions: 1, batch: 1, seconds }));
  }
  return {
    runs,
    alone,
    fastest: least(runs, ({ samplesPerSecond }) => -samplesPerSecond).order,
    thriftiest: least(runs, ({ cpuPerSample }) => cpuPerSample).order,
    promptest: least(alone, ({ runMs }) => runMs).order,
  };
}

/** The first in order where the key is NaN throughout, as it is where CPU time is not known. */
function least(runs: readonly RawRun[], key: (run: RawRun) => number): RawRun {
  return runs.reduce((best, run) => (key(run) < key(best) ? run : best));
}
