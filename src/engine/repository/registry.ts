/** Lists the probes: what each name resolves to, which versions are loaded, and why folders were refused. */
import { quoted } from '../../disclosure.js';
import { problem } from '../../errors.js';
import { compareProbes, type ProbeVersion } from '../../probe/locations.js';
import type { ProbeStatus, ServedProbe } from '../types.js';
import type { BatchPlan } from '../warm-up/batch-plan.js';

/** A served probe as the engine knows it. */
export interface LoadedProbe extends ServedProbe {
  /** Identifies it to the workers. */
  readonly key: number;
  /** SHA-256 of model.onnx. */
  readonly sha256: string;
  /** SHA-256 of probe.json, which holds the hash of every other file. */
  readonly manifestSha256: string;
  readonly fallback?: string;
  readonly plan: BatchPlan;
}

/** One version: the probe that is loaded, and why the present content of its folder was refused. */
interface Entry extends ProbeVersion {
  readonly probe?: LoadedProbe | undefined;
  readonly reason?: string | undefined;
}

export class ProbeRegistry {
  readonly #defaultModel: string | undefined;
  /** In the order of compareProbes. */
  #entries: readonly Entry[] = [];

  constructor(defaultModel: string | undefined) {
    this.#defaultModel = defaultModel;
  }

  /** Adds a probe for requests to find. @returns the probe of the same version that it replaces. */
  add(probe: LoadedProbe): LoadedProbe | undefined {
    const { name, version } = probe;
    const replaced = this.find(probe);
    this.#put({ name, version, probe });
    return replaced;
  }

  /** Records why a folder was refused, or with undefined that it is valid. A loaded probe stays. */
  setRefusal({ name, version }: ProbeVersion, reason: string | undefined): void {
    this.#put({ name, version, probe: this.find({ name, version }), reason });
  }

  /** Removes a version, so that requests do not find it any more. @returns the probe that was loaded. */
  remove(version: ProbeVersion): LoadedProbe | undefined {
    const removed = this.find(version);
    this.#entries = this.#entries.filter((entry) => !isSame(entry, version));
    return removed;
  }

  /** Whether the folder was refused, no matter whether a probe is loaded. */
  isRefused(version: ProbeVersion): boolean {
    return this.#entries.some((entry) => isSame(entry, version) && entry.reason !== undefined);
  }

  /** The loaded probe of a version. */
  find(version: ProbeVersion): LoadedProbe | undefined {
    return this.#entries.find((entry) => isSame(entry, version))?.probe;
  }

  /** By name, newest version first. */
  list(): ProbeStatus[] {
    return this.#entries.map((entry) => this.#statusOf(entry));
  }

  /**
   * The probe for a reference, `name` or `name@version`; undefined means the default.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): LoadedProbe {
    const wanted = reference ?? this.#default();
    const probe = this.#lookUp(wanted);
    if (probe) return probe;
    throw problem('model_not_found', `There is no probe ${quoted(wanted)}${this.#whyNot(wanted)}.`, {
      field: 'model',
      received: wanted,
      expected: this.#names(),
    });
  }

  /** The same probe, if it is still loaded. */
  loaded(probe: ServedProbe): LoadedProbe | undefined {
    return this.#entries.find((entry) => entry.probe === probe)?.probe;
  }

  /** Why the registry keeps the engine from being ready; undefined when it does not. */
  whyUnready(): string | undefined {
    if (this.#entries.every(({ probe }) => !probe))
      return this.#entries.length === 0 ? 'no probe was found' : 'every probe was refused';
    const name = this.#defaultModel;
    if (name !== undefined && !this.#lookUp(name)) return `the default probe "${name}" is not loaded`;
    return undefined;
  }

  #put(entry: Entry): void {
    const others = this.#entries.filter((other) => !isSame(other, entry));
    this.#entries = [...others, entry].toSorted(compareProbes);
  }

  #lookUp(reference: string): LoadedProbe | undefined {
    return this.#entries.find((entry) => entry.probe && isMeant(entry, reference))?.probe;
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
    return [...new Set(this.#entries.filter(({ probe }) => probe).map(({ name }) => name))];
  }

  #whyNot(reference: string): string {
    const refused = this.#entries.find((entry) => !entry.probe && isMeant(entry, reference));
    return refused ? `: version ${refused.version} was refused` : '';
  }

  #statusOf({ name, version, probe, reason }: Entry): ProbeStatus {
    const refusal = reason !== undefined && { reason };
    if (!probe) return { name, version, state: 'refused', ...refusal };
    const { provider, sha256, manifest, fallback, plan } = probe;
    return {
      name,
      version,
      state: this.#lookUp(name) === probe ? 'serving' : 'available',
      ...refusal,
      provider,
      ...(fallback !== undefined && { fallback }),
      sha256,
      batching: plan,
      manifest,
    };
  }
}

function isSame(left: ProbeVersion, right: ProbeVersion): boolean {
  return left.name === right.name && left.version === right.version;
}

function isMeant({ name, version }: ProbeVersion, reference: string): boolean {
  return reference === name || reference === `${name}@${version}`;
}
