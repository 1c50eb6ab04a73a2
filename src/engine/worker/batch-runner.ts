/** Owns one run over several parts: a bad part gets its fault and leaves the others alone. */
import { type LaidBatch, layBatch } from './batch.js';
import type { BatchMemory } from './batch-memory.js';
import type { Fault } from './fault.js';
import { printable } from './fault.js';
import type { InputLayout } from './input-layout.js';
import { type ReadySlice, readySlice, uncheckedFault } from './slice.js';
import type { RunScores } from './protocol.js';
import { messageOf } from '../../errors.js';
import type { UnpackedSlice } from './packing.js';
import type { ProbeSession } from './session.js';

/** What parts are run with. */
export interface RunnableGraph {
  readonly layouts: readonly InputLayout[];
  readonly session: Pick<ProbeSession, 'run'>;
}

type WarmUpResult = ReadySlice | { readonly fault: Fault };

/** Checks, lays and runs. Throws only when the run itself fails. */
export async function runBatch(
  slices: readonly UnpackedSlice[],
  { layouts, session }: RunnableGraph,
  memory: BatchMemory,
): Promise<RunScores> {
  let prepared: readonly WarmUpResult[] = slices.map((slice) => prepare(slice, layouts));
  let batch = lay(prepared, layouts, memory);
  if (batch && isDoubtful(batch, prepared, memory)) {
    prepared = prepared.map((slice) => checkedAgain(slice, layouts));
    if (!prepared.every(isReady)) batch = lay(prepared, layouts, memory);
  }
  const scores = batch ? await session.run(batch.feeds) : new Float32Array();
  return judged(slices, prepared, scores);
}

function prepare(slice: UnpackedSlice, layouts: readonly InputLayout[]): WarmUpResult {
  try {
    return readySlice(slice, layouts);
  } catch (error) {
    return { fault: { code: 'internal', detail: `The request could not be laid out: ${messageOf(error)}` } };
  }
}

function lay(
  prepared: readonly WarmUpResult[],
  layouts: readonly InputLayout[],
  memory: BatchMemory,
): LaidBatch | undefined {
  const ready = prepared.filter(isReady);
  return ready.length === 0 ? undefined : layBatch(ready, layouts, memory);
}

/** There is attention that was not checked before it was laid, and a look at the batch does not clear it. */
function isDoubtful({ feeds }: LaidBatch, prepared: readonly WarmUpResult[], memory: BatchMemory): boolean {
  if (!prepared.some((slice) => isReady(slice) && slice.unchecked)) return false;
  const { data, dims } = feeds['attention']!;
  const [samples = 0, layers = 0, tokens = 0, height = 0, width = 0] = dims;
  const maps = { byteOffset: data.byteOffset, maps: samples * layers, tokens, area: height * width };
  return !memory.isSurelyAttention(maps);
}

function checkedAgain(slice: WarmUpResult, layouts: readonly InputLayout[]): WarmUpResult {
  const fault = isReady(slice) ? uncheckedFault(slice, layouts) : undefined;
  return fault ? { fault } : slice;
}

function judged(
  slices: readonly UnpackedSlice[],
  prepared: readonly WarmUpResult[],
  scores: Float32Array,
): RunScores {
  const all: number[] = [];
  const faults: [number, Fault][] = [];
  const expected = prepared.reduce((sum, slice) => sum + (isReady(slice) ? slice.samples : 0), 0);
  let start = 0;
  for (const [index, { first, samples }] of slices.entries()) {
    const slice = prepared[index]!;
    const end = isReady(slice) ? start + samples : start;
    const fault = isReady(slice) ? scoreFault(scores, { start, end, first, expected }) : slice.fault;
    if (fault) faults.push([index, fault]);
    for (let sample = 0; sample < samples; sample += 1) all.push(fault ? 0 : scores[start + sample]!);
    start = end;
  }
  return { scores: all, faults };
}

/** A score that is no number is a failure of the probe, never a low score. */
function scoreFault(
  scores: Float32Array,
  { start, end, first, expected }: { start: number; end: number; first: number; expected: number },
): Fault | undefined {
  if (scores.length !== expected) {
    return { code: 'internal', detail: `The probe gave ${scores.length} scores for ${expected} samples.` };
  }
  for (let index = start; index < end; index += 1) {
    if (Number.isFinite(scores[index])) continue;
    const received = printable(scores[index] ?? NaN);
    const sample = first + index - start;
    const detail = `The probe’s score of sample ${sample} is ${received}, which is no number.`;
    return { code: 'internal', detail, received };
  }
  return undefined;
}

function isReady(slice: WarmUpResult): slice is ReadySlice {
  return 'values' in slice;
}
