/**
 * Sends how images are drawn: a fingerprint with every request, and the document itself after an answer that does not know the
 * fingerprint.
 */
import { InvalidInputError } from './errors.js';

const FINGERPRINT_BYTES = 8;
/** The service refuses longer documents, characters. */
const MAX_DOCUMENT = 32_768;
const MAX_UNKNOWN = 256;

/** How images are drawn, as docs/contract.md describes it: a JSON object. */
export type Conditions = Readonly<Record<string, unknown>>;

export interface ConditionsOptions {
  /** How the images are drawn: a difference from the probe's conditions stands in the answer. */
  readonly conditions?: Conditions;
  /** The fingerprint of `conditions`; computed when omitted. */
  readonly conditionsId?: string;
}

/** The part of the Web Crypto API that is used. */
interface WebCrypto {
  readonly subtle?: {
    readonly digest: (name: 'SHA-256', data: Uint8Array<ArrayBuffer>) => Promise<ArrayBuffer>;
  };
}

/** The conditions of one request. */
export interface StatedConditions {
  readonly id: string;
  /** As JSON; undefined when only the fingerprint is given. */
  readonly document: string | undefined;
}

/** Remembers which fingerprints the service does not know. */
export class ConditionsSender {
  readonly #unknown = new Set<string>();
  /** An object is read once, so it must not be changed. */
  readonly #stated = new WeakMap<Conditions, StatedConditions>();

  /** @throws {InvalidInputError} when `conditions` is no JSON object. */
  async state({ conditions, conditionsId }: ConditionsOptions): Promise<StatedConditions | undefined> {
    if (!conditions)
      return conditionsId === undefined ? undefined : { id: conditionsId, document: undefined };
    let stated = this.#stated.get(conditions);
    if (!stated) {
      const document = canonicalText(conditions);
      stated = { id: conditionsId ?? (await fingerprint(document)), document };
      this.#stated.set(conditions, stated);
    }
    return conditionsId === undefined ? stated : { ...stated, id: conditionsId };
  }

  /** The metadata of the next request. */
  metadata(stated: StatedConditions | undefined): Record<string, string> {
    if (!stated) return {};
    const { id, document = '' } = stated;
    const isSent = document !== '' && document.length <= MAX_DOCUMENT && this.#unknown.has(id);
    return { conditions_id: id, ...(isSent && { conditions: document }) };
  }

  /** @param state what the answer to a request with these conditions says. */
  learn(stated: StatedConditions | undefined, state: string): void {
    if (!stated) return;
    if (state !== 'unknown') this.#unknown.delete(stated.id);
    else if (this.#unknown.size < MAX_UNKNOWN) this.#unknown.add(stated.id);
  }
}

/** The first 16 hex digits of the SHA-256. @throws {InvalidInputError} where the runtime computes none. */
async function fingerprint(document: string): Promise<string> {
  // Browsers have it on pages from https and from localhost alone.
  const { subtle } = (globalThis as { crypto?: WebCrypto }).crypto ?? {};
  if (!subtle)
    throw new InvalidInputError(
      'conditions',
      'without conditionsId',
      'conditionsId too, on a page without https',
    );
  const hash = await subtle.digest('SHA-256', new TextEncoder().encode(document));
  const bytes = new Uint8Array(hash, 0, FINGERPRINT_BYTES);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The canonical JSON: keys sorted, no spaces. Members that are undefined are not in it. */
function canonicalText(conditions: Conditions): string {
  try {
    const json = JSON.stringify(conditions, (_key, value: unknown) => {
      if (typeof value === 'number' && !Number.isFinite(value))
        throw new RangeError(`${value} is no JSON number`);
      return value;
    });
    if (json?.startsWith('{')) return canonicalJson(JSON.parse(json));
  } catch (error) {
    throw new InvalidInputError('conditions', 'not valid', `a JSON object (${(error as Error).message})`);
  }
  throw new InvalidInputError('conditions', 'not valid', 'a JSON object');
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
