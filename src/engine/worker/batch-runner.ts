/** Runs one batch of several slices in the worker. A slice with bad values gets a fault and does not affect the others. */
import { messageOf } from '../../errors.js';
import { type Fault, printable } from '../../probe/check-values.js';
import { assembleBatch } from './batch-assembly.js';
import type { BatchMemory } from './batch-memory.js';
import { type CheckedSlice, checkSlice } from './check-slice.js';
import type { InputLayout } from './input-layout.js';
import type { SliceResult } from './protocol.js';
import type { SampleSlice } from './sample-slice.js';
import type { ProbeSession } from './session.js';

/** An open graph, and the layouts of its inputs in order. */
export interface RunnableGraph {
  readonly layouts: readonly InputLayout[];
  readonly session: Pick<ProbeSession, 'run'>;
  /** Whether batches are padded to one of a few shapes. */
  readonly isPadded?: boolean;
}

/** Checks, assembles and runs; returns one result per slice, in order. Throws only when the run itself fails. */
export async function runBatch(
  slices: readonly SampleSlice[],
  { layouts, session, isPadded = false }: RunnableGraph,
  memory: BatchMemory,
): Promise<SliceResult[]> {
  const check = (slice: SampleSlice, isExact: boolean): CheckedSlice | { readonly fault: Fault } => {
    try {
      return checkSlice(slice, layouts, isExact);
    } catch (error) {
      return internal(`The request could not be put into a batch: ${messageOf(error)}`);
    }
  };
  const prepare = (isExact: boolean) => {
    const checked = slices.map((slice) => check(slice, isExact));
    const good = checked.filter((slice) => 'values' in slice);
    return { checked, good, feeds: good.length > 0 ? assembleBatch(good, layouts, memory, isPadded) : {} };
  };
  let batch = prepare(false);
  const { attention } = batch.feeds;
  const isSure =
    attention?.type !== 'float16' || memory.isSurelyAttention(attention.data.byteOffset, attention.dims);
  if (!isSure) batch = prepare(true);
  const scores = batch.good.length > 0 ? await session.run(batch.feeds) : new Float32Array();
  const samples = batch.good.reduce((sum, slice) => sum + slice.samples, 0);
  const realScores = isPadded ? scores.subarray(0, samples) : scores;
  let start = 0;
  return batch.checked.map((slice, index) => {
    if ('fault' in slice) return slice;
    if (realScores.length !== samples)
      return internal(`The probe returned ${realScores.length} scores for ${samples} samples.`);
    const own = realScores.subarray(start, start + slice.samples);
    start += slice.samples;
    // A score that is not finite is a failure of the probe and never a low score.
    const wrong = own.findIndex((score) => !Number.isFinite(score));
    // Plain numbers, since a short list is cloned faster than a typed array.
    if (wrong === -1) return { scores: [...own] };
    const received = printable(own[wrong]!);
    const sample = slices[index]!.first + wrong;
    return internal(`The probe’s score of sample ${sample} is ${received}, which is not a finite number.`, {
      received,
    });
  });
}

function internal(detail: string, extra: Pick<Fault, 'received'> = {}): { readonly fault: Fault } {
  return { fault: { code: 'internal', detail, ...extra } };
}
