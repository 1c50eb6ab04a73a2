/** Owns one run over several parts: a bad part gets its fault and leaves the others alone. */
import { type LaidBatch, layBatch } from './batch.js';
import type { BatchMemory } from './batch-memory.js';
import type { Fault } from './fault.js';
import { printable } from './fault.js';
import type { InputLayout } from './input-layout.js';
import { type ReadyPart, readyPart, uncheckedFault } from './part.js';
import type { RunScores } from './protocol.js';
import { reasonOf } from '../../probe/refusal.js';
import type { RunPart } from './packing.js';
import type { ProbeSession } from './session.js';

/** What parts are run with. */
export interface RunnableGraph {
  readonly layouts: readonly InputLayout[];
  readonly session: Pick<ProbeSession, 'run'>;
}

type Prepared = ReadyPart | { readonly fault: Fault };

/** Checks, lays and runs. Throws only when the run itself fails. */
export async function runParts(
  parts: readonly RunPart[],
  { layouts, session }: RunnableGraph,
  memory: BatchMemory,
): Promise<RunScores> {
  let prepared: readonly Prepared[] = parts.map((part) => prepare(part, layouts));
  let batch = lay(prepared, layouts, memory);
  if (batch && isDoubtful(batch, prepared, memory)) {
    prepared = prepared.map((part) => checkedAgain(part, layouts));
    if (!prepared.every(isReady)) batch = lay(prepared, layouts, memory);
  }
  const scores = batch ? await session.run(batch.feeds) : new Float32Array();
  return judged(parts, prepared, scores);
}

function prepare(part: RunPart, layouts: readonly InputLayout[]): Prepared {
  try {
    return readyPart(part, layouts);
  } catch (error) {
    return { fault: { code: 'internal', detail: `The request could not be laid out: ${reasonOf(error)}` } };
  }
}

function lay(
  prepared: readonly Prepared[],
  layouts: readonly InputLayout[],
  memory: BatchMemory,
): LaidBatch | undefined {
  const ready = prepared.filter(isReady);
  return ready.length === 0 ? undefined : layBatch(ready, layouts, memory);
}

/** There is attention that was not checked before it was laid, and a look at the batch does not clear it. */
function isDoubtful({ feeds }: LaidBatch, prepared: readonly Prepared[], memory: BatchMemory): boolean {
  if (!prepared.some((part) => isReady(part) && part.unchecked)) return false;
  const { data, dims } = feeds['attention']!;
  const [samples = 0, layers = 0, tokens = 0, height = 0, width = 0] = dims;
  const maps = { byteOffset: data.byteOffset, maps: samples * layers, tokens, area: height * width };
  return !memory.isSurelyAttention(maps);
}

function checkedAgain(part: Prepared, layouts: readonly InputLayout[]): Prepared {
  const fault = isReady(part) ? uncheckedFault(part, layouts) : undefined;
  return fault ? { fault } : part;
}

function judged(parts: readonly RunPart[], prepared: readonly Prepared[], scores: Float32Array): RunScores {
  const all: number[] = [];
  const faults: [number, Fault][] = [];
  const expected = prepared.reduce((sum, part) => sum + (isReady(part) ? part.samples : 0), 0);
  let start = 0;
  for (const [index, { first, samples }] of parts.entries()) {
    const part = prepared[index]!;
    const end = isReady(part) ? start + samples : start;
    const fault = isReady(part) ? scoreFault(scores, { start, end, first, expected }) : part.fault;
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

function isReady(part: Prepared): part is ReadyPart {
  return 'values' in part;
}
