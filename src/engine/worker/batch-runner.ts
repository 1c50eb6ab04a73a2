/** Runs one batch of several slices in the worker. A slice with bad values gets a fault and does not affect the others. */
import { messageOf } from '../../errors.js';
import { type Feeds, assembleBatch } from './batch-assembly.js';
import type { BatchMemory } from './batch-memory.js';
import { type ConvertedSlice, attentionFault, convertSlice } from './convert-slice.js';
import type { InputLayout } from './input-layout.js';
import type { Fault, SliceResult } from './protocol.js';
import type { SampleSlice } from './sample-slice.js';
import type { ProbeSession } from './session.js';
import { printable } from './value-checks.js';

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
  // By the index of the slice, as are the faults.
  const converted = new Map<number, ConvertedSlice>();
  const faults = new Map<number, Fault>();
  for (const [index, slice] of slices.entries()) {
    const result = convert(slice, layouts);
    if ('fault' in result) faults.set(index, result.fault);
    else converted.set(index, result);
  }
  const unchecked = [...converted].filter(([, slice]) => slice.isAttentionUnchecked);
  const assemble = (): Feeds | undefined =>
    converted.size === 0 ? undefined : assembleBatch([...converted.values()], layouts, memory, isPadded);
  let feeds = assemble();
  const { data, dims } = feeds?.['attention'] ?? {};
  if (data && dims && unchecked.length > 0 && !memory.isSurelyAttention(data.byteOffset, dims)) {
    for (const [index] of unchecked) {
      const fault = attentionFault(slices[index]!, layouts);
      if (!fault) continue;
      faults.set(index, fault);
      converted.delete(index);
    }
    if (faults.size > 0) feeds = assemble();
  }
  const scores = feeds ? await session.run(feeds) : new Float32Array();
  const samples = [...converted.values()].reduce((sum, slice) => sum + slice.samples, 0);
  const realScores = isPadded ? scores.subarray(0, samples) : scores;
  let start = 0;
  return slices.map((slice, index) => {
    const fault = faults.get(index);
    if (fault) return { fault };
    if (realScores.length !== samples) return { fault: wrongCount(realScores.length, samples) };
    const own = realScores.subarray(start, start + slice.samples);
    start += slice.samples;
    // Plain numbers, since a short list is cloned faster than a typed array.
    return scoreFault(own, slice.first) ?? { scores: [...own] };
  });
}

function convert(
  slice: SampleSlice,
  layouts: readonly InputLayout[],
): ConvertedSlice | { readonly fault: Fault } {
  try {
    return convertSlice(slice, layouts);
  } catch (error) {
    const detail = `The request could not be put into a batch: ${messageOf(error)}`;
    return { fault: { code: 'internal', detail } };
  }
}

function wrongCount(received: number, expected: number): Fault {
  return { code: 'internal', detail: `The probe returned ${received} scores for ${expected} samples.` };
}

/** A score that is not finite is a failure of the probe and never a low score. */
function scoreFault(scores: Float32Array, first: number): { readonly fault: Fault } | undefined {
  const index = scores.findIndex((score) => !Number.isFinite(score));
  if (index === -1) return undefined;
  const received = printable(scores[index]!);
  const detail = `The probe’s score of sample ${first + index} is ${received}, which is not a finite number.`;
  return { fault: { code: 'internal', detail, received } };
}
