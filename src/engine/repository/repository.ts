/**
 * Loads the probes of the models' folder into the workers, at the start and when a folder has changed, once they have passed
 * their test in another process. A new version serves at once, and the one before it still answers the requests that it has.
 * A broken folder is refused and changes nothing.
 *
 * Changes are found by scans: file events get lost on network file systems and where a volume swaps a link. A changed folder
 * is loaded when two scans see it alike, so that one that is still being written is not refused.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../errors.js';
import { readProbeFolder } from '../../probe/folder.js';
import { findProbeLocations, folderFingerprint, type ProbeLocation } from '../../probe/locations.js';
import { ProbePostponedError, ProbeRefusedError } from '../../probe/refused.js';
import type { Batcher } from '../batching/batcher.js';
import type { WorkerPool } from '../pool/pool.js';
import type { Prover } from '../proof/prover.js';
import type { EngineOptions, ProbeChange, ServedProbe } from '../types.js';
import type { ProbeRegistry, Version } from './registry.js';

type OwnOptions = Pick<EngineOptions, 'modelsDir' | 'log' | 'observer' | 'onStartProgress'>;

export interface RepositoryOptions extends OwnOptions {
  readonly pool: WorkerPool;
  readonly prover: ProbeTest;
  readonly registry: ProbeRegistry;
  readonly batcher: Pick<Batcher, 'untilAnswered'>;
}

export type ProbeTest = Pick<Prover, 'prove' | 'release'>;

/** Only polls wait until two scans see a folder alike, and try no refused folder again that has not changed. */
type Occasion = 'start' | 'poll' | 'reload';

export class Repository {
  readonly #options: RepositoryOptions;
  readonly #stop = new AbortController();
  /** Why folders could not be read at the last scan. */
  #unreadable: ReadonlyMap<string, string> = new Map();
  #lastKey = 0;
  #scanning: Promise<unknown> = Promise.resolve();
  #nextReload: Promise<ProbeChange[]> | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /** Scans for changes until close(). A scan that fails changes nothing, and is logged once per reason. */
  async poll(intervalMs: number): Promise<void> {
    const { signal } = this.#stop;
    let lastReason: string | undefined;
    for (;;) {
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      const reason = await this.scan('poll').then(() => undefined, messageOf);
      if (reason !== undefined && reason !== lastReason)
        this.#options.log.error({ reason }, 'the model repository cannot be read');
      lastReason = reason;
    }
  }

  /**
   * Applies all changes now, without waiting for a second scan. A refused folder is tried again even if it is unchanged.
   * @throws when the folder cannot be read.
   */
  reload(): Promise<ProbeChange[]> {
    // All callers until the scan begins share it.
    this.#nextReload ??= this.scan('reload');
    return this.#nextReload;
  }

  /** Stops polling and the test of a probe. Resolves when a scan that has begun has ended. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#options.prover.release();
    await this.#scanning;
  }

  /**
   * Finds and applies changes, after the scans that have begun before. A broken probe is refused, and the others are loaded.
   * @throws {StartError} when the folder cannot be read; at the start also when the device cannot be used.
   */
  scan(occasion: Occasion): Promise<ProbeChange[]> {
    const turn = this.#scanning.then(async () => {
      if (occasion === 'reload') this.#nextReload = undefined;
      const locations = await this.#find();
      const onProgress = occasion === 'start' ? this.#options.onStartProgress : undefined;
      let loaded = 0;
      onProgress?.(loaded, locations.length);
      // A probe is loaded into the workers while the next one is tested.
      const updates = locations.map(async (location) => {
        const changes = await this.#update(location, occasion);
        loaded += 1;
        onProgress?.(loaded, locations.length);
        return changes;
      });
      const changes = await Promise.all(updates);
      this.#options.prover.release();
      return [...changes.flat(), ...this.#removeMissing(locations, occasion)];
    });
    this.#scanning = turn.catch(() => {});
    return turn;
  }

  /** Logs each folder that cannot be read, once per reason. */
  async #find(): Promise<ProbeLocation[]> {
    const { locations, unreadable } = await findProbeLocations(this.#options.modelsDir);
    for (const { folder, reason } of unreadable)
      if (this.#unreadable.get(folder) !== reason)
        this.#options.log.error({ folder, reason }, 'a folder of the model repository cannot be read');
    this.#unreadable = new Map(unreadable.map(({ folder, reason }) => [folder, reason]));
    return locations;
  }

  /** Loads or refuses what is in a folder, if it has changed. */
  async #update(location: ProbeLocation, occasion: Occasion): Promise<ProbeChange[]> {
    const version = this.#options.registry.at(location);
    const fingerprint = await folderFingerprint(location.folder);
    const isSettled = occasion !== 'poll' || fingerprint === version.seen;
    const isNew = fingerprint !== version.tried || (occasion === 'reload' && version.reason !== undefined);
    version.seen = fingerprint;
    if (!isSettled || !isNew) return [];
    version.tried = fingerprint;
    try {
      const changes = await this.#load(version);
      version.reason = undefined;
      return changes;
    } catch (error) {
      // close() has ended its test, which says nothing about the probe.
      if (this.#stop.signal.aborted) return [];
      // An unusable device is not the fault of the probe.
      if (occasion === 'start' && !(error instanceof ProbeRefusedError)) throw error;
      if (error instanceof ProbePostponedError) version.tried = undefined;
      version.reason = messageOf(error);
      const refusal = { name: version.name, version: version.version, reason: version.reason };
      this.#options.observer.probeRefused(refusal);
      this.#options.log.error(refusal, 'a probe was refused');
      return [{ ...refusal, change: 'refused' }];
    }
  }

  #removeMissing(locations: readonly ProbeLocation[], occasion: Occasion): ProbeChange[] {
    const { registry } = this.#options;
    const present = new Set(locations.map(({ folder }) => folder));
    const changes: ProbeChange[] = [];
    for (const version of registry.versions) {
      // The versions of a folder that cannot be read now may still be there.
      if (present.has(version.folder) || this.#unreadable.has(path.dirname(version.folder))) continue;
      // A folder is missing for a moment while it is replaced as a whole.
      const isSettled = occasion !== 'poll' || version.seen === undefined;
      version.seen = undefined;
      if (!isSettled) continue;
      registry.remove(version);
      if (!version.probe) continue;
      void this.#unload(version.probe);
      changes.push({ name: version.name, version: version.version, change: 'unloaded' });
    }
    return changes;
  }

  async #load(target: Version): Promise<ProbeChange[]> {
    const { pool, prover, log, observer } = this.#options;
    const { name, version, probe: replaced } = target;
    const files = await readProbeFolder(target);
    if (replaced?.manifestSha256 === files.manifestSha256) return [];
    this.#lastKey += 1;
    const key = this.#lastKey;
    const plan = await prover.prove(files, this.#stop.signal);
    const measured = { name, version, ...files, key, plan };
    const probe = { ...measured, ...(await pool.install(measured)) };
    target.probe = probe;
    if (replaced) void this.#unload(replaced);
    observer.probeLoaded(probe);
    const { bestSamples: best_batch_samples, msPerPaddedToken: ms_per_padded_token, measurements } = plan;
    const costs = { best_batch_samples, ms_per_padded_token, ms_per_run: plan.msPerRun, measurements };
    const { provider, fallback, sha256 } = probe;
    log.info({ name, version, provider, fallback, sha256, ...costs }, 'a probe was loaded');
    return [{ name, version, change: replaced ? 'replaced' : 'loaded' }];
  }

  /** Takes a probe that requests do not find any more out of the workers, when its last request is answered. */
  async #unload(probe: ServedProbe): Promise<void> {
    const { key, name, version, sha256 } = probe;
    const { pool, batcher, log, observer } = this.#options;
    observer.probeUnloaded(probe);
    await batcher.untilAnswered(probe);
    pool.uninstall(key);
    log.info({ name, version, sha256 }, 'a probe was unloaded');
  }
}
