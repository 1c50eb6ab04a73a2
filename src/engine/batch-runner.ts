/** Owns one run over several parts: a bad part gets its fault and leaves the others alone. */
import { assemble } from './batch.js';
import type { Fault } from './fault.js';
import { printable } from './fault.js';
import type { ManifestInput } from './manifest.js';
import { type ReadyPart, readyPart } from './part.js';
import type { BatchPart, PartResult } from './protocol.js';
import { reasonOf } from './refusal.js';
import type { ProbeSession } from './session.js';

/** Checks, assembles and runs; gives one result per part, in order. Throws only when the run itself fails. */
export async function runParts(
  parts: readonly BatchPart[],
  inputs: readonly ManifestInput[],
  session: Pick<ProbeSession, 'run'>,
): Promise<PartResult[]> {
  const prepared = parts.map((part) => prepare(part, inputs));
  const ready = prepared.filter((part) => 'arrays' in part);
  const scores = ready.length === 0 ? new Float32Array() : await session.run(assemble(ready, inputs));
  let start = 0;
  return prepared.map((part) => {
    if ('fault' in part) return part;
    const own = scores.slice(start, start + part.samples);
    start += part.samples;
    return judged(own, part);
  });
}

function prepare(part: BatchPart, inputs: readonly ManifestInput[]): ReadyPart | { fault: Fault } {
  try {
    return readyPart(part, inputs);
  } catch (error) {
    return { fault: { code: 'internal', detail: `The request could not be laid out: ${reasonOf(error)}` } };
  }
}

/** A score that is no number is a failure of the probe, never a low score. */
function judged(scores: Float32Array, { first, samples }: ReadyPart): PartResult {
  if (scores.length !== samples) {
    const detail = `The probe gave ${scores.length} scores for ${samples} samples.`;
    return { fault: { code: 'internal', detail } };
  }
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (wrong === -1) return { scores };
  const received = printable(scores[wrong] ?? NaN);
  const detail = `The probe’s score of sample ${first + wrong} is ${received}, which is no number.`;
  return { fault: { code: 'internal', detail, received } };
}
