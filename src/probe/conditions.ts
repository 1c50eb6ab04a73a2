/** Compares the conditions of a request, how its images are drawn, with those of a probe. */
import { isRecord } from '../wire/strict-json.js';
import { canonicalJson } from './fingerprint.js';

/** How images are drawn: a JSON object. */
export type Conditions = Readonly<Record<string, unknown>>;

/** The members that a conditions document may have. Further ones are compared as well. */
export const CONDITIONS_MEMBERS = [
  'pipeline',
  'scheduler',
  'timesteps',
  'call',
  'guidance',
  'dtype',
  'quantization',
  'weights',
  'adapters',
  'free_u',
] as const;

/**
 * The results of the comparison. `unstated`: one side gives no conditions; `unknown`: the service has no document for the hash.
 */
export const CONDITIONS_STATES = ['unstated', 'same', 'unknown', 'foreign'] as const;

export type ConditionsState = (typeof CONDITIONS_STATES)[number];

/** Nested deeper, a document is refused: it is read by recursion. */
const MAX_DEPTH = 16;

/** A leaf in which two documents differ. */
export interface Difference {
  /** The names of the members on the way to it, joined by dots. */
  readonly path: string;
  /** The first of these names. */
  readonly member: string;
}

/**
 * The leaves in which conditions differ from a probe's, sorted by path. Lists are compared as a whole. A member that one side
 * lacks is a difference, except a member of the document itself that the probe lacks: then there is nothing to compare with.
 */
export function differences(probe: Conditions, request: Conditions): Difference[] {
  const found: Difference[] = [];
  const visit = (path: string, member: string, left: unknown, right: unknown): void => {
    if (!isRecord(left) || !isRecord(right)) {
      if (!isSame(left, right)) found.push({ path, member });
      return;
    }
    for (const name of new Set([...Object.keys(left), ...Object.keys(right)]))
      visit(`${path}.${name}`, member, own(left, name), own(right, name));
  };
  for (const member of Object.keys(probe)) visit(member, member, probe[member], own(request, member));
  return found.toSorted((left, right) => (left.path < right.path ? -1 : 1));
}

/** Whether a parsed JSON value is an object that is not nested too deep to be compared. */
export function isConditions(value: unknown): value is Conditions {
  return isRecord(value) && isShallow(value, MAX_DEPTH);
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  for (const member of Object.values(value)) if (!isShallow(member, depth - 1)) return false;
  return true;
}

/** Values of parsed JSON; undefined stands for a member that is missing. */
function isSame(left: unknown, right: unknown): boolean {
  return (
    left === right ||
    (left !== undefined && right !== undefined && canonicalJson(left) === canonicalJson(right))
  );
}

function own(record: Conditions, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
