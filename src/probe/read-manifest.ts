/** Owns how the text of a probe.json becomes a Manifest, or a refusal that names what is wrong. */
import type { z } from 'zod';

import { manifestContradictions } from './manifest-rules.js';
import { type Manifest, manifestSchema } from './manifest.js';
import { ProbeRefusedError, messageOf } from './refusal.js';

const MAX_REASONS = 5;

/**
 * Reads the text of a probe.json.
 * @throws {ProbeRefusedError} when it is not JSON, breaks the schema, or contradicts itself; the message names the fields.
 */
export function parseManifest(text: string): Manifest {
  const parsed = manifestSchema.safeParse(parseJson(text), { reportInput: true });
  if (!parsed.success) throw refusalFor(parsed.error.issues.map(describeIssue));
  const contradictions = manifestContradictions(parsed.data);
  if (contradictions.length > 0) throw refusalFor(contradictions);
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ProbeRefusedError(`probe.json is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const where = issue.path.length === 0 ? 'the document' : issue.path.join('.');
  const plain = issue.input === null || ['string', 'number', 'boolean'].includes(typeof issue.input);
  return `${where}: ${issue.message}${plain ? `, not ${JSON.stringify(issue.input)}` : ''}`;
}

function refusalFor(reasons: readonly string[]): ProbeRefusedError {
  const more = reasons.length - MAX_REASONS;
  const told = reasons.slice(0, MAX_REASONS).join('; ');
  return new ProbeRefusedError(`probe.json is not valid: ${told}${more > 0 ? `; and ${more} more` : ''}`);
}
