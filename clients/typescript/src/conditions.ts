/**
 * Sends how images are drawn: a hash with every request, and the document itself after an answer that does not know the hash.
 */
import { createHash } from 'node:crypto';

const HASH_DIGITS = 16;
/** The service refuses longer documents, characters. */
const MAX_DOCUMENT = 32_768;
const MAX_UNKNOWN = 256;

/** How images are drawn, as docs/contract.md describes it: a JSON object. */
export type Conditions = Readonly<Record<string, unknown>>;

export interface ConditionsOptions {
  /** How the images are drawn: a difference from the probe's conditions stands in the answer. */
  readonly conditions?: Conditions;
  /** The hash of `conditions`; computed when omitted. */
  readonly conditionsId?: string;
}

/** Remembers which hashes the service does not know. */
export class ConditionsSender {
  readonly #unknown = new Set<string>();
  /** An object is hashed once, so it must not be changed. */
  readonly #hashes = new WeakMap<Conditions, string>();

  /** The metadata of the next request. */
  metadata(options: ConditionsOptions): Record<string, string> {
    const id = this.#idOf(options);
    if (id === undefined) return {};
    const { conditions } = options;
    const text = conditions && this.#unknown.has(id) ? JSON.stringify(conditions) : undefined;
    const isSent = text !== undefined && text.length <= MAX_DOCUMENT;
    return { conditions_id: id, ...(isSent && { conditions: text }) };
  }

  /** @param state what the answer to a request with these options says. */
  learn(options: ConditionsOptions, state: string): void {
    const id = this.#idOf(options);
    if (id === undefined) return;
    if (state !== 'unknown') this.#unknown.delete(id);
    else if (this.#unknown.size < MAX_UNKNOWN) this.#unknown.add(id);
  }

  #idOf({ conditions, conditionsId }: ConditionsOptions): string | undefined {
    if (conditionsId !== undefined || !conditions) return conditionsId;
    const id = this.#hashes.get(conditions) ?? conditionsHash(conditions);
    this.#hashes.set(conditions, id);
    return id;
  }
}

/** The first 16 hex digits of the SHA-256 of the canonical JSON: keys sorted, no spaces. */
export function conditionsHash(conditions: Conditions): string {
  // As the service will read it: without members that JSON cannot hold.
  const text = canonicalJson(JSON.parse(JSON.stringify(conditions)));
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS);
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
