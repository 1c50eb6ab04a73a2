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
import {
  findProbeLocations,
  folderFingerprint,
  type ProbeLocation,
  type UnreadableFolder,
} from '../../probe/locations.js';
import { ProbePostponedError, ProbeRefusedError } from '../../probe/refused.js';
import type { WorkerPool } from '../pool/pool.js';
import type { ProbeTest } from '../proof/prover.js';
import type { EngineLog, EngineObserver, ProbeChange } from '../types.js';
import type { LoadedProbe, ProbeRegistry } from './registry.js';

export interface RepositoryOptions {
  readonly modelsDir: string;
  readonly pool: WorkerPool;
  readonly prover: ProbeTest;
  readonly registry: ProbeRegistry;
  /** Resolves when no request for the probe with this key waits or runs. */
  readonly untilUnused: (key: number) => Promise<void>;
  readonly log: EngineLog;
  readonly observer: EngineObserver;
}

/** What is known of a folder between two scans. */
interface Folder {
  readonly location: ProbeLocation;
  /** Its fingerprint at the last scan; undefined when it was missing. */
  seen: string | undefined;
  /** Its fingerprint when it was last loaded or refused. */
  tried?: string | undefined;
}

export class Repository {
  readonly #options: RepositoryOptions;
  readonly #folders = new Map<string, Folder>();
  readonly #stop = new AbortController();
  /** Why folders could not be read at the last scan. */
  #unreadable: ReadonlyMap<string, string> = new Map();
  #lastKey = 0;
  #scanning: Promise<unknown> = Promise.resolve();
  #nextReload: Promise<ProbeChange[]> | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /**
   * Loads every probe. A broken one is refused, and the others are loaded all the same.
   * @throws when the folder cannot be read, or the device cannot be used.
   */
  async loadAll(): Promise<void> {
    const locations = await this.#find();
    // A probe is loaded into the workers while the next one is tested.
    const loads = locations.map(async (location) =>
      this.#tryFolder(this.#folderOf(location), await folderFingerprint(location.folder), true),
    );
    await Promise.all(loads);
    this.#options.prover.release();
  }

  /** Scans for changes until close(). A scan that fails changes nothing, and is logged once per reason. */
  async poll(intervalMs: number): Promise<void> {
    const { signal } = this.#stop;
    let lastReason: string | undefined;
    for (;;) {
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      const scan = this.#inTurn(() => this.#scan(false));
      const reason = await scan.then(() => undefined, messageOf);
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
    this.#nextReload ??= this.#inTurn(() => {
      this.#nextReload = undefined;
      return this.#scan(true);
    });
    return this.#nextReload;
  }

  /** Stops polling and the test of a probe. Resolves when a scan that has begun has ended. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#options.prover.release();
    await this.#scanning;
  }

  /** Runs one scan after the other. */
  #inTurn<Result>(scan: () => Promise<Result>): Promise<Result> {
    const turn = this.#scanning.then(scan);
    this.#scanning = turn.catch(() => {});
    return turn;
  }

  async #scan(isForced: boolean): Promise<ProbeChange[]> {
    const changes: ProbeChange[] = [];
    const locations = await this.#find();
    for (const location of locations) {
      if (this.#stop.signal.aborted) return changes;
      const folder = this.#folderOf(location);
      const fingerprint = await folderFingerprint(location.folder);
      const isSettled = isForced || fingerprint === folder.seen;
      folder.seen = fingerprint;
      const isNew = fingerprint !== folder.tried || (isForced && this.#options.registry.isRefused(location));
      if (isSettled && isNew) changes.push(...(await this.#tryFolder(folder, fingerprint, false)));
    }
    this.#options.prover.release();
    return [...changes, ...this.#removeMissing(locations, isForced)];
  }

  /** Logs each folder that cannot be read, once per reason. */
  async #find(): Promise<ProbeLocation[]> {
    const { locations, unreadable } = await findProbeLocations(this.#options.modelsDir);
    for (const { folder, reason } of unreadable.filter((each) => this.#isNews(each)))
      this.#options.log.error({ folder, reason }, 'a folder of the model repository cannot be read');
    this.#unreadable = new Map(unreadable.map(({ folder, reason }) => [folder, reason]));
    return locations;
  }

  #isNews({ folder, reason }: UnreadableFolder): boolean {
    return this.#unreadable.get(folder) !== reason;
  }

  #removeMissing(locations: readonly ProbeLocation[], isForced: boolean): ProbeChange[] {
    const present = new Set(locations.map(({ folder }) => folder));
    // The versions of a folder that cannot be read now may still be there.
    const missing = [...this.#folders.values()].filter(
      ({ location: { folder } }) => !present.has(folder) && !this.#unreadable.has(path.dirname(folder)),
    );
    return missing.flatMap((folder): ProbeChange[] => {
      // A folder is missing for a moment while it is replaced as a whole.
      const isSettled = isForced || folder.seen === undefined;
      folder.seen = undefined;
      if (!isSettled) return [];
      const { name, version } = folder.location;
      this.#folders.delete(folder.location.folder);
      const removed = this.#options.registry.remove({ name, version });
      if (!removed) return [];
      void this.#unload(removed);
      return [{ name, version, change: 'unloaded' }];
    });
  }

  #folderOf(location: ProbeLocation): Folder {
    const folder = this.#folders.get(location.folder) ?? { location, seen: undefined };
    this.#folders.set(location.folder, folder);
    return folder;
  }

  /** @param isStart at the start, an unusable device is thrown: it is not the fault of the probe. */
  async #tryFolder(folder: Folder, fingerprint: string, isStart: boolean): Promise<ProbeChange[]> {
    folder.seen = fingerprint;
    folder.tried = fingerprint;
    try {
      return await this.#load(folder.location);
    } catch (error) {
      if (isStart && !(error instanceof ProbeRefusedError)) throw error;
      if (error instanceof ProbePostponedError) folder.tried = undefined;
      const { registry, log, observer } = this.#options;
      const { name, version } = folder.location;
      const reason = messageOf(error);
      registry.setRefusal({ name, version }, reason);
      observer.probeRefused({ name, version, reason });
      log.error({ name, version, reason }, 'a probe was refused');
      return [{ name, version, change: 'refused', reason }];
    }
  }

  async #load(location: ProbeLocation): Promise<ProbeChange[]> {
    const { pool, prover, registry, log, observer } = this.#options;
    const { name, version } = location;
    const files = await readProbeFolder(location);
    const { manifest, sha256, manifestSha256 } = files;
    if (registry.find(location)?.manifestSha256 === manifestSha256) {
      registry.setRefusal(location, undefined);
      return [];
    }
    this.#lastKey += 1;
    const key = this.#lastKey;
    const plan = await prover.prove(files);
    const { provider, fallback } = await pool.install({ key, files, plan });
    const probe = { key, name, version, provider, sha256, manifestSha256, manifest, plan };
    const replaced = registry.add({ ...probe, ...(fallback !== undefined && { fallback }) });
    if (replaced) void this.#unload(replaced);
    observer.probeLoaded({ name, version, provider, sha256 });
    const { bestSamples, msPerPaddedToken, msPerRun, measurements } = plan;
    log.info(
      {
        name,
        version,
        provider,
        sha256,
        best_batch_samples: bestSamples,
        ms_per_padded_token: msPerPaddedToken,
        ms_per_run: msPerRun,
        measurements,
      },
      'a probe was loaded',
    );
    if (fallback !== undefined)
      log.warn({ name, version, reason: fallback }, 'CUDA cannot be used; the CPU is');
    return [{ name, version, change: replaced ? 'replaced' : 'loaded' }];
  }

  /** Takes a probe that requests do not find any more out of the workers, when its last request is answered. */
  async #unload({ key, name, version, provider, sha256 }: LoadedProbe): Promise<void> {
    const { pool, untilUnused, log, observer } = this.#options;
    observer.probeUnloaded({ name, version, provider, sha256 });
    await untilUnused(key);
    pool.uninstall(key);
    log.info({ name, version, sha256 }, 'a probe was unloaded');
  }
}
