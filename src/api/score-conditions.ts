/** Judges the conditions of a request: are its images drawn as those of the probe's calibration? */
import { foreignActionFor, type PolicyRule } from '../config/policies.js';
import { cut } from '../disclosure.js';
import { type Conditions, type ConditionsState, type Difference, differences } from '../probe/conditions.js';
import { fingerprintOf } from '../probe/fingerprint.js';
import type { Manifest } from '../probe/manifest.js';

/** The most differences that an answer lists. */
export const MAX_FOREIGN_CONDITIONS = 32;

const MAX_DOCUMENTS = 256;
const MAX_BYTES = 1_048_576;

export interface ConditionsFindings {
  readonly state: ConditionsState;
  /** The paths of the differences that the operator does not ignore, sorted and cut. */
  readonly foreign: readonly string[];
  /** The first names of all of these paths, each once. */
  readonly members: readonly string[];
  /** Whether every sample is to be kept because of them. */
  readonly isKept: boolean;
}

/** What a request states. */
export interface StatedConditions {
  readonly conditionsId: string | undefined;
  readonly conditions: Conditions | undefined;
}

interface KnownDocument {
  readonly conditions: Conditions;
  readonly bytes: number;
  /** By the probe's manifest, so that a document is compared with each probe once per change of the rule. */
  readonly judged: WeakMap<Manifest, { readonly rule: PolicyRule; readonly findings: ConditionsFindings }>;
}

const NOTHING = { foreign: [], members: [], isKept: false } as const;

/** Remembers the documents that requests have brought, by their hash; the least recently used ones are forgotten. */
export class ConditionsJudge {
  /** In the order of use. */
  readonly #documents = new Map<string, KnownDocument>();
  #bytes = 0;

  /** @param rule the operator's rule for the probe. */
  judge(
    manifest: Manifest,
    { conditionsId, conditions }: StatedConditions,
    rule: PolicyRule,
  ): ConditionsFindings {
    const id = conditionsId ?? (conditions && fingerprintOf(conditions));
    const document = id === undefined ? undefined : this.#find(id, conditions);
    if (id === undefined || manifest.conditions === null) return { state: 'unstated', ...NOTHING };
    if (id === manifest.conditions_id) return { state: 'same', ...NOTHING };
    if (!document) return { state: 'unknown', ...NOTHING, isKept: foreignActionFor(rule) === 'keep' };
    const known = document.judged.get(manifest);
    if (known?.rule === rule) return known.findings;
    const findings = findingsOf(differences(manifest.conditions, document.conditions), rule);
    document.judged.set(manifest, { rule, findings });
    return findings;
  }

  /** The document of a hash, from the request or an earlier one. */
  #find(id: string, conditions: Conditions | undefined): KnownDocument | undefined {
    const document = this.#documents.get(id) ?? (conditions && newDocument(conditions));
    if (!document) return undefined;
    // A map iterates in the order of insertion.
    if (this.#documents.delete(id)) this.#bytes -= document.bytes;
    this.#documents.set(id, document);
    this.#bytes += document.bytes;
    for (const [oldest, { bytes }] of this.#documents) {
      if (this.#documents.size <= MAX_DOCUMENTS && this.#bytes <= MAX_BYTES) break;
      this.#documents.delete(oldest);
      this.#bytes -= bytes;
    }
    return document;
  }
}

function newDocument(conditions: Conditions): KnownDocument {
  const bytes = Buffer.byteLength(JSON.stringify(conditions));
  return { conditions, bytes, judged: new WeakMap() };
}

function findingsOf(found: readonly Difference[], rule: PolicyRule): ConditionsFindings {
  const paths: string[] = [];
  const members = new Set<string>();
  let isKept = false;
  for (const { path, member } of found) {
    const action = foreignActionFor(rule, path);
    if (action === 'ignore') continue;
    if (paths.length < MAX_FOREIGN_CONDITIONS) paths.push(cut(path));
    members.add(member);
    isKept ||= action === 'keep';
  }
  return { state: members.size === 0 ? 'same' : 'foreign', foreign: paths, members: [...members], isKept };
}
