/** Owns which probes there are: what a name means, what is loaded beside it, and what was refused and why. */
import { problem } from '../errors.js';
import type { Manifest } from './manifest.js';
import type { ProbeLocation } from './probe-locations.js';
import type { ProbeStatus, Provider, ServedProbe } from './types.js';

/** A served probe, and how the threads know it. */
export interface LoadedProbe extends ServedProbe {
  readonly key: number;
  readonly sha256: string;
  readonly provider: Provider;
  readonly manifest: Manifest;
}

type Known = LoadedProbe | RefusedProbe;

interface RefusedProbe {
  readonly name: string;
  readonly version: number;
  readonly reason: string;
}

export class Catalogue {
  readonly #defaultModel: string | undefined;
  #known: Known[] = [];

  constructor(defaultModel: string | undefined) {
    this.#defaultModel = defaultModel;
  }

  add(probe: LoadedProbe): void {
    this.#put(probe);
  }

  refuse({ name, version }: ProbeLocation, reason: string): void {
    this.#put({ name, version, reason });
  }

  /** By name, newest version first. */
  list(): ProbeStatus[] {
    return this.#known.map((probe) => this.#statusOf(probe));
  }

  /**
   * The probe that a reference means; undefined stands for the default.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): LoadedProbe {
    const wanted = reference ?? this.#default();
    const probe = this.#find(wanted);
    if (probe) return probe;
    throw problem('model_not_found', `There is no probe "${wanted}"${this.#whyNot(wanted)}.`, {
      field: 'model',
      received: wanted,
      expected: this.#names(),
    });
  }

  /** The loaded probe that this very object stands for. */
  loaded(probe: ServedProbe): LoadedProbe | undefined {
    return this.#known.find((known): known is LoadedProbe => known === probe);
  }

  /** Why requests cannot be answered whatever the threads do; undefined when they can. */
  whyUnready(): string | undefined {
    if (!this.#known.some(isLoaded))
      return this.#known.length === 0 ? 'no probe was found' : 'every probe was refused';
    const name = this.#defaultModel;
    if (name !== undefined && !this.#find(name)) return `the default probe "${name}" is not loaded`;
    return undefined;
  }

  #put(probe: Known): void {
    const others = this.#known.filter(
      ({ name, version }) => name !== probe.name || version !== probe.version,
    );
    this.#known = [...others, probe].toSorted(
      (left, right) => compare(left.name, right.name) || right.version - left.version,
    );
  }

  #find(reference: string): LoadedProbe | undefined {
    return this.#known.find(
      (probe): probe is LoadedProbe =>
        isLoaded(probe) && (reference === probe.name || reference === `${probe.name}@${probe.version}`),
    );
  }

  #default(): string {
    if (this.#defaultModel !== undefined) return this.#defaultModel;
    const [only, another] = this.#names();
    if (only !== undefined && another === undefined) return only;
    throw problem('model_not_found', 'The request names no probe, and there is no default one.', {
      field: 'model',
      expected: this.#names(),
    });
  }

  #names(): string[] {
    return [...new Set(this.#known.filter(isLoaded).map((probe) => probe.name))];
  }

  #whyNot(reference: string): string {
    const refused = this.#known.find(
      (probe) =>
        !isLoaded(probe) && (probe.name === reference || `${probe.name}@${probe.version}` === reference),
    );
    return refused ? `: version ${refused.version} was refused` : '';
  }

  #statusOf(probe: Known): ProbeStatus {
    if (!isLoaded(probe)) return { ...probe, state: 'refused' };
    const { name, version, provider, sha256, manifest } = probe;
    const state = this.#find(name) === probe ? 'serving' : 'available';
    return { name, version, state, provider, sha256, manifest };
  }
}

function isLoaded(probe: Known): probe is LoadedProbe {
  return 'key' in probe;
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
