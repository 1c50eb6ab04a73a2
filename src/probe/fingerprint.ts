/**
 * Computes the id of a capture or of conditions: the same settings give the same id in every language.
 * The shapes of tensors cannot show that attention comes from other layers or another scheduler; the ids do.
 */
import { createHash } from 'node:crypto';

const FINGERPRINT_DIGITS = 16;

/** The form of a fingerprint. */
export const FINGERPRINT = /^[0-9a-f]{16}$/;

/** Canonical JSON of a parsed JSON value: keys sorted, no spaces, numbers as JSON.stringify writes them (3.0 is "3"). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/** The first 16 hex digits of the SHA-256 of the canonical JSON of a capture or of conditions. */
export function fingerprintOf(document: unknown): string {
  return createHash('sha256').update(canonicalJson(document)).digest('hex').slice(0, FINGERPRINT_DIGITS);
}
