/** The table of the repository's versions: what each name resolves to, which are loaded, and why folders were refused. */
import { quoted } from '../../disclosure.js';
import { problem } from '../../errors.js';
import { compareProbes, type ProbeLocation } from '../../probe/locations.js';
import type { ProbeStatus, ServedProbe } from '../types.js';

export interface Version extends ProbeLocation {
  /** Its fingerprint at the last scan; undefined when it was missing. */
  seen?: string | undefined;
  /** Its fingerprint when it was last loaded or refused; undefined when it is to be tried again. */
  tried?: string | undefined;
  /** Why its content was refused. A probe that was loaded from it before stays. */
  reason?: string | undefined;
  probe?: ServedProbe;
}

export class ProbeRegistry {
  readonly #defaultModel: string | undefined;
  /** In the order of compareProbes. */
  #versions: readonly Version[] = [];

  constructor(defaultModel: string | undefined) {
    this.#defaultModel = defaultModel;
  }

  /** Every version that was found, also those that were not tried yet. */
  get versions(): readonly Version[] {
    return this.#versions;
  }

  /** The version of a folder; it is added to the table if it is new. */
  at(location: ProbeLocation): Version {
    const known = this.#versions.find(({ folder }) => folder === location.folder);
    if (known) return known;
    const version = { ...location };
    this.#versions = [...this.#versions, version].toSorted(compareProbes);
    return version;
  }

  remove(version: Version): void {
    this.#versions = this.#versions.filter((other) => other !== version);
  }

  /** By name, newest version first. */
  list(): ProbeStatus[] {
    return this.#tried().map(({ name, version, reason, probe }) => {
      const known = { name, version, ...(reason !== undefined && { reason }) };
      if (!probe) return { ...known, state: 'refused' };
      return { ...known, probe, state: this.#lookUp(name) === probe ? 'serving' : 'available' };
    });
  }

  /**
   * The probe for a reference, `name` or `name@version`; undefined means the default.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): ServedProbe {
    const wanted = reference ?? this.#default();
    const probe = this.#lookUp(wanted);
    if (probe) return probe;
    const refused = this.#tried().find((version) => isMeant(version, wanted));
    const why = refused ? `: version ${refused.version} was refused` : '';
    throw problem('model_not_found', `There is no probe ${quoted(wanted)}${why}.`, {
      field: 'model',
      received: wanted,
      expected: this.#names(),
    });
  }

  /** False once it was replaced or unloaded. */
  isLoaded(served: ServedProbe): boolean {
    return this.#versions.some(({ probe }) => probe === served);
  }

  /** Why the registry keeps the engine from being ready; undefined when it does not. */
  whyUnready(): string | undefined {
    const name = this.#defaultModel;
    if (this.#names().length === 0)
      return this.#tried().length === 0 ? 'no probe was found' : 'every probe was refused';
    if (name !== undefined && !this.#lookUp(name)) return `the default probe "${name}" is not loaded`;
    return undefined;
  }

  #tried(): Version[] {
    return this.#versions.filter(({ probe, reason }) => probe !== undefined || reason !== undefined);
  }

  #lookUp(reference: string): ServedProbe | undefined {
    return this.#versions.find((version) => version.probe && isMeant(version, reference))?.probe;
  }

  /** The default: as set, or the only name, or the only name that is also its backbone's. */
  #default(): string {
    if (this.#defaultModel !== undefined) return this.#defaultModel;
    const names = this.#names();
    const namedAsBackbone = names.filter((name) => this.#lookUp(name)?.manifest.backbone === name);
    for (const [only, another] of [names, namedAsBackbone])
      if (only !== undefined && another === undefined) return only;
    throw problem('model_not_found', 'The request names no probe, and there is no default one.', {
      field: 'model',
      expected: names,
    });
  }

  #names(): string[] {
    return [...new Set(this.#versions.filter(({ probe }) => probe).map(({ name }) => name))];
  }
}

function isMeant({ name, version }: Version, reference: string): boolean {
  return reference === name || reference === `${name}@${version}`;
}
