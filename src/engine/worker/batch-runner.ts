/** Runs one batch of several slices in the worker. A slice with bad values gets a fault and does not affect the others. */
import { messageOf } from '../../errors.js';
import { type Feeds, assembleBatch } from './batch-assembly.js';
import type { BatchMemory } from './batch-memory.js';
import { type ConvertedSlice, attentionFault, convertSlice } from './convert-slice.js';
import type { InputLayout } from './input-layout.js';
import type { UnpackedSlice } from './packing.js';
import type { Fault, RunScores } from './protocol.js';
import type { ProbeSession } from './session.js';
import { printable } from './value-checks.js';

/** An open graph, and the layouts of its inputs in order. */
export interface RunnableGraph {
  readonly layouts: readonly InputLayout[];
  readonly session: Pick<ProbeSession, 'run'>;
  /** Whether batches are padded to one of a few shapes. */
  readonly isPadded?: boolean;
}

type Conversion = ConvertedSlice | { readonly fault: Fault };

/** Checks, assembles and runs. Throws only when the run itself fails. */
export async function runBatch(
  slices: readonly UnpackedSlice[],
  { layouts, session, isPadded = false }: RunnableGraph,
  memory: BatchMemory,
): Promise<RunScores> {
  let conversions: readonly Conversion[] = slices.map((slice) => convert(slice, layouts));
  const assemble = (): Feeds | undefined => {
    const converted = conversions.filter(isConverted);
    return converted.length === 0 ? undefined : assembleBatch(converted, layouts, memory, isPadded);
  };
  let feeds = assemble();
  const hasUnchecked = conversions.some((slice) => isConverted(slice) && slice.isAttentionUnchecked);
  if (feeds && hasUnchecked && !isSurelyAttention(feeds, memory)) {
    conversions = conversions.map((conversion, index) => {
      if (!isConverted(conversion) || !conversion.isAttentionUnchecked) return conversion;
      const fault = attentionFault(slices[index]!, layouts);
      return fault ? { fault } : conversion;
    });
    if (!conversions.every(isConverted)) feeds = assemble();
  }
  const scores = feeds ? await session.run(feeds) : new Float32Array();
  const samples = conversions.reduce((sum, slice) => sum + (isConverted(slice) ? slice.samples : 0), 0);
  return resultOf(slices, conversions, isPadded ? scores.subarray(0, samples) : scores, samples);
}

function convert(slice: UnpackedSlice, layouts: readonly InputLayout[]): Conversion {
  try {
    return convertSlice(slice, layouts);
  } catch (error) {
    const detail = `The request could not be put into a batch: ${messageOf(error)}`;
    return { fault: { code: 'internal', detail } };
  }
}

function isSurelyAttention(feeds: Feeds, memory: BatchMemory): boolean {
  const { data, dims } = feeds['attention']!;
  const [samples = 0, layers = 0, tokens = 0, height = 0, width = 0] = dims;
  const { byteOffset } = data;
  return memory.isSurelyAttention({ byteOffset, maps: samples * layers, tokens, area: height * width });
}

function resultOf(
  slices: readonly UnpackedSlice[],
  conversions: readonly Conversion[],
  scores: Float32Array,
  expected: number,
): RunScores {
  const all: number[] = [];
  const faults: [number, Fault][] = [];
  let start = 0;
  for (const [index, { first, samples }] of slices.entries()) {
    const conversion = conversions[index]!;
    const end = isConverted(conversion) ? start + samples : start;
    const fault = isConverted(conversion)
      ? scoreFault(scores, { start, end, first, expected })
      : conversion.fault;
    if (fault) faults.push([index, fault]);
    for (let sample = 0; sample < samples; sample += 1) all.push(fault ? 0 : scores[start + sample]!);
    start = end;
  }
  return { scores: all, faults };
}

/** A score that is not finite is a failure of the probe and never a low score. */
function scoreFault(
  scores: Float32Array,
  { start, end, first, expected }: { start: number; end: number; first: number; expected: number },
): Fault | undefined {
  if (scores.length !== expected) {
    return {
      code: 'internal',
      detail: `The probe returned ${scores.length} scores for ${expected} samples.`,
    };
  }
  const index = scores.subarray(start, end).findIndex((score) => !Number.isFinite(score));
  if (index === -1) return undefined;
  const received = printable(scores[start + index]!);
  return {
    code: 'internal',
    detail: `The probe’s score of sample ${first + index} is ${received}, which is not a finite number.`,
    received,
  };
}

function isConverted(conversion: Conversion): conversion is ConvertedSlice {
  return 'values' in conversion;
}
