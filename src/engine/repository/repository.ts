/**
 * Owns the way from the models' folder into the threads, at the start and whenever the folder has changed: each probe
 * is read, proved, measured and listed, or refused and listed. A new one takes over at once and the one before it
 * answers what it was given; a broken one changes nothing.
 *
 * The folder is looked at and not watched: events go missing on network file systems and where a volume swaps a link.
 * A folder is judged once it looks the same twice, and again after every change, so one that is still being written is
 * not taken for broken for ever.
 */
import type { ProbeRegistry, LoadedProbe } from './registry.js';
import type { WorkerPool } from '../pool/pool.js';
import { readProbeFolder } from '../../probe/probe-folder.js';
import { type ProbeLocation, findProbeLocations, folderFingerprint } from '../../probe/probe-locations.js';
import { ProbePostponedError, ProbeRefusedError, messageOf } from '../../probe/refusal.js';
import { pollRepository } from './repository-poll.js';
import type { EngineLog, EngineObserver, ProbeChange } from '../types.js';

export interface RepositoryOptions {
  readonly modelsDir: string;
  readonly pool: WorkerPool;
  readonly registry: ProbeRegistry;
  /** Resolves when no request for this probe waits or runs any more. */
  readonly released: (key: number) => Promise<void>;
  readonly log: EngineLog;
  readonly observer: EngineObserver;
}

/** What is remembered of a folder between two looks. */
interface Folder {
  readonly location: ProbeLocation;
  /** How it looked last time; undefined when it was not there. */
  seen: string | undefined;
  /** How it looked when it was judged. */
  judged?: string | undefined;
}

export class Repository {
  readonly #options: RepositoryOptions;
  readonly #folders = new Map<string, Folder>();
  readonly #stop = new AbortController();
  #keys = 0;
  #looking: Promise<unknown> = Promise.resolve();
  #nextReload: Promise<ProbeChange[]> | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /**
   * Loads every probe there is. A broken one is refused and does not hold up the others.
   * @throws when the folder cannot be read, or the device cannot be used.
   */
  async loadAll(): Promise<void> {
    for (const location of await findProbeLocations(this.#options.modelsDir)) {
      await this.#judge(this.#folderOf(location), await folderFingerprint(location.folder), true);
    }
  }

  /** Looks for changes from now on, again and again. */
  poll(intervalMs: number): void {
    const look = (): Promise<unknown> => this.#inTurn(() => this.#look(false));
    void pollRepository({ look, intervalMs, signal: this.#stop.signal, log: this.#options.log });
  }

  /**
   * Takes over what has changed, at once; a folder that was refused gets another chance even if it has not changed.
   * @throws when the folder cannot be read.
   */
  reload(): Promise<ProbeChange[]> {
    // Whoever asks before it begins is served by it too.
    this.#nextReload ??= this.#inTurn(() => {
      this.#nextReload = undefined;
      return this.#look(true);
    });
    return this.#nextReload;
  }

  /** Ends the looking; resolves when a look that is under way has ended. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#looking;
  }

  /** One look after the other. */
  #inTurn<Result>(look: () => Promise<Result>): Promise<Result> {
    const turn = this.#looking.then(look);
    this.#looking = turn.catch(() => {});
    return turn;
  }

  async #look(isForced: boolean): Promise<ProbeChange[]> {
    const changes: ProbeChange[] = [];
    const locations = await findProbeLocations(this.#options.modelsDir);
    for (const location of locations) {
      if (this.#stop.signal.aborted) return changes;
      const folder = this.#folderOf(location);
      const print = await folderFingerprint(location.folder);
      const isSettled = isForced || print === folder.seen;
      folder.seen = print;
      const isNew = print !== folder.judged || (isForced && this.#options.registry.isRefused(location));
      if (isSettled && isNew) changes.push(...(await this.#judge(folder, print, false)));
    }
    return [...changes, ...this.#forgetMissing(locations, isForced)];
  }

  #forgetMissing(locations: readonly ProbeLocation[], isForced: boolean): ProbeChange[] {
    const present = new Set(locations.map(({ folder }) => folder));
    const missing = [...this.#folders.values()].filter(({ location }) => !present.has(location.folder));
    return missing.flatMap((folder): ProbeChange[] => {
      // A folder is missing for a moment when it is replaced as a whole.
      const isSettled = isForced || folder.seen === undefined;
      folder.seen = undefined;
      return isSettled ? this.#forget(folder) : [];
    });
  }

  #forget({ location }: Folder): ProbeChange[] {
    const { name, version } = location;
    this.#folders.delete(location.folder);
    const gone = this.#options.registry.remove(location);
    if (!gone) return [];
    this.#retire(gone);
    return [{ name, version, change: 'unloaded' }];
  }

  #folderOf(location: ProbeLocation): Folder {
    const known = this.#folders.get(location.folder);
    if (known) return known;
    const folder: Folder = { location, seen: undefined };
    this.#folders.set(location.folder, folder);
    return folder;
  }

  /** @param isStart then a device that cannot be used is no fault of the probe, and thrown. */
  async #judge(folder: Folder, print: string, isStart: boolean): Promise<ProbeChange[]> {
    const { location } = folder;
    folder.seen = print;
    folder.judged = print;
    try {
      return await this.#load(location);
    } catch (error) {
      if (isStart && !(error instanceof ProbeRefusedError)) throw error;
      if (error instanceof ProbePostponedError) folder.judged = undefined;
      return [this.#refuse(location, messageOf(error))];
    }
  }

  async #load(location: ProbeLocation): Promise<ProbeChange[]> {
    const { pool, registry, log, observer } = this.#options;
    const { name, version } = location;
    const files = await readProbeFolder(location);
    const { manifest, sha256, manifestSha256 } = files;
    if (registry.find(location)?.manifestSha256 === manifestSha256) {
      registry.note(location, undefined);
      return [];
    }
    this.#keys += 1;
    const key = this.#keys;
    const { session, plan } = await pool.install({ key, files });
    const { provider, fallback } = session;
    const instead = fallback === undefined ? {} : { fallback };
    const probe = { key, name, version, provider, ...instead, sha256, manifestSha256, manifest, plan };
    const before = registry.add(probe);
    if (before) this.#retire(before);
    observer.probeLoaded({ name, version, provider, sha256 });
    const { bestSamples, allCoresFrom, cost, measurements } = plan;
    log.info(
      {
        name,
        version,
        provider,
        sha256,
        best_batch_samples: bestSamples,
        all_cores_from_samples: Number.isFinite(allCoresFrom) ? allCoresFrom : null,
        ms_per_padded_token: cost.slopeMs,
        ms_per_run: cost.baseMs,
        measurements,
      },
      'a probe was loaded',
    );
    if (fallback !== undefined)
      log.warn({ name, version, reason: fallback }, 'CUDA cannot be used; the CPU is');
    return [{ name, version, change: before ? 'replaced' : 'loaded' }];
  }

  #refuse(location: ProbeLocation, reason: string): ProbeChange {
    const { registry, log, observer } = this.#options;
    const { name, version } = location;
    registry.note(location, reason);
    observer.probeRefused({ name, version, reason });
    log.error({ name, version, reason }, 'a probe was refused');
    return { name, version, change: 'refused', reason };
  }

  /** Requests find it no more; those it has are answered before the threads let go of it. */
  #retire(probe: LoadedProbe): void {
    const { name, version, provider, sha256 } = probe;
    this.#options.observer.probeUnloaded({ name, version, provider, sha256 });
    void this.#uninstall(probe);
  }

  async #uninstall({ key, name, version, sha256 }: LoadedProbe): Promise<void> {
    const { pool, released, log } = this.#options;
    await released(key);
    pool.uninstall(key);
    log.info({ name, version, sha256 }, 'a probe was unloaded');
  }
}
