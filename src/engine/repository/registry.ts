/** Owns which probes there are: what a name means, what is loaded beside it, and what was refused and why. */
import { problem } from '../../errors.js';
import type { BatchPlan } from '../warm-up/batch-plan.js';
import type { Manifest } from '../../probe/manifest.js';
import type { ProbeLocation } from '../../probe/probe-locations.js';
import type { BatchingStatus, ProbeStatus, Provider, ServedProbe } from '../types.js';

/** A served probe, and how the threads know it. */
export interface LoadedProbe extends ServedProbe {
  readonly key: number;
  readonly sha256: string;
  readonly provider: Provider;
  readonly manifest: Manifest;
  /** SHA-256 of probe.json, which names the hash of every other file. */
  readonly manifestSha256: string;
  readonly fallback?: string;
  readonly plan: BatchPlan;
}

/** One version: what is loaded of it, and why what lies in its folder now was refused. */
interface Known {
  readonly name: string;
  readonly version: number;
  readonly probe?: LoadedProbe | undefined;
  readonly reason?: string | undefined;
}

export class ProbeRegistry {
  readonly #defaultModel: string | undefined;
  #known: Known[] = [];

  constructor(defaultModel: string | undefined) {
    this.#defaultModel = defaultModel;
  }

  /** From now on requests find this probe. @returns the one in whose place it stands. */
  add(probe: LoadedProbe): LoadedProbe | undefined {
    const { name, version } = probe;
    const before = this.find(probe);
    this.#put({ name, version, probe });
    return before;
  }

  /** Notes why a folder was refused, or with undefined that it is sound after all; what is loaded stays. */
  note({ name, version }: ProbeLocation, reason: string | undefined): void {
    this.#put({ name, version, probe: this.find({ name, version }), reason });
  }

  /** From now on requests find it no more. @returns what was loaded. */
  remove({ name, version }: Pick<ProbeLocation, 'name' | 'version'>): LoadedProbe | undefined {
    const before = this.find({ name, version });
    this.#known = this.#known.filter((known) => known.name !== name || known.version !== version);
    return before;
  }

  /** What lies in the folder was refused, whatever is loaded of it. */
  isRefused({ name, version }: Pick<ProbeLocation, 'name' | 'version'>): boolean {
    return this.#known.some(
      (known) => known.name === name && known.version === version && known.reason !== undefined,
    );
  }

  /** What is loaded of a version. */
  find({ name, version }: Pick<ProbeLocation, 'name' | 'version'>): LoadedProbe | undefined {
    return this.#known.find((known) => known.name === name && known.version === version)?.probe;
  }

  /** By name, newest version first. */
  list(): ProbeStatus[] {
    return this.#known.map((known) => this.#statusOf(known));
  }

  /**
   * The probe that a reference means; undefined stands for the default.
   * @throws {ProblemError} model_not_found
   */
  resolve(reference: string | undefined): LoadedProbe {
    const wanted = reference ?? this.#default();
    const probe = this.#meant(wanted);
    if (probe) return probe;
    throw problem('model_not_found', `There is no probe "${wanted}"${this.#whyNot(wanted)}.`, {
      field: 'model',
      received: wanted,
      expected: this.#names(),
    });
  }

  /** The loaded probe that this very object stands for. */
  loaded(probe: ServedProbe): LoadedProbe | undefined {
    return this.#known.find((known) => known.probe === probe)?.probe;
  }

  /** Why requests cannot be answered whatever the threads do; undefined when they can. */
  whyUnready(): string | undefined {
    if (this.#known.every(({ probe }) => !probe))
      return this.#known.length === 0 ? 'no probe was found' : 'every probe was refused';
    const name = this.#defaultModel;
    if (name !== undefined && !this.#meant(name)) return `the default probe "${name}" is not loaded`;
    return undefined;
  }

  #put(known: Known): void {
    const others = this.#known.filter(
      ({ name, version }) => name !== known.name || version !== known.version,
    );
    this.#known = [...others, known].toSorted(
      (left, right) => compare(left.name, right.name) || right.version - left.version,
    );
  }

  #meant(reference: string): LoadedProbe | undefined {
    return this.#known.find(
      ({ name, version, probe }) => probe && (reference === name || reference === `${name}@${version}`),
    )?.probe;
  }

  #default(): string {
    if (this.#defaultModel !== undefined) return this.#defaultModel;
    const names = this.#names();
    const namesakes = names.filter((name) => this.#meant(name)?.manifest.backbone === name);
    for (const [only, another] of [names, namesakes])
      if (only !== undefined && another === undefined) return only;
    throw problem('model_not_found', 'The request names no probe, and there is no default one.', {
      field: 'model',
      expected: this.#names(),
    });
  }

  #names(): string[] {
    return [...new Set(this.#known.filter(({ probe }) => probe).map(({ name }) => name))];
  }

  #whyNot(reference: string): string {
    const refused = this.#known.find(
      ({ name, version, probe }) => !probe && (name === reference || `${name}@${version}` === reference),
    );
    return refused ? `: version ${refused.version} was refused` : '';
  }

  #statusOf({ name, version, probe, reason }: Known): ProbeStatus {
    const why = reason === undefined ? {} : { reason };
    if (!probe) return { name, version, state: 'refused', ...why };
    const { provider, sha256, manifest, fallback, plan } = probe;
    const state = this.#meant(name) === probe ? 'serving' : 'available';
    const instead = fallback === undefined ? {} : { fallback };
    return {
      name,
      version,
      state,
      ...why,
      provider,
      ...instead,
      sha256,
      batching: batchingOf(plan),
      manifest,
    };
  }
}

function batchingOf({ bestSamples, maxTokens, cost }: BatchPlan): BatchingStatus {
  return {
    bestSamples,
    maxPaddedTokens: Number.isFinite(maxTokens) ? maxTokens : undefined,
    msPerPaddedToken: cost.slopeMs,
    msPerRun: cost.baseMs,
    pace: cost.pace,
  };
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
