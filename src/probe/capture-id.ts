/**
 * Owns how a capture is named: the same settings give the same id in every language.
 * Shapes cannot reveal that attention came from other layers or another scheduler; this id can.
 */
import { createHash } from 'node:crypto';

const CAPTURE_ID_DIGITS = 16;

/**
 * Canonical JSON: keys sorted, no spaces, numbers as JSON.stringify prints them (3.0 is "3").
 * Takes what JSON.parse gives.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/** The first 16 hex digits of the SHA-256 of the capture's canonical JSON. */
export function captureId(capture: unknown): string {
  return createHash('sha256').update(canonicalJson(capture)).digest('hex').slice(0, CAPTURE_ID_DIGITS);
}
