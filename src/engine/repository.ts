/** Owns the way from the models' folder into the threads: each probe is read, proved and listed, or refused and listed. */
import type { Catalogue } from './catalogue.js';
import type { WorkerPool } from './pool.js';
import { readProbeFolder } from './probe-folder.js';
import { type ProbeLocation, findProbeLocations } from './probe-locations.js';
import { Refusal } from './refusal.js';
import type { EngineLog, EngineObserver } from './types.js';

export interface RepositoryOptions {
  readonly modelsDir: string;
  readonly pool: WorkerPool;
  readonly catalogue: Catalogue;
  readonly log: EngineLog;
  readonly observer: EngineObserver;
}

export class Repository {
  readonly #options: RepositoryOptions;
  #keys = 0;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  /**
   * Loads every probe there is. A broken one is refused and does not hold up the others.
   * @throws when the folder cannot be read, or the device cannot be used.
   */
  async loadAll(): Promise<void> {
    for (const location of await findProbeLocations(this.#options.modelsDir)) await this.#loadOne(location);
  }

  async #loadOne(location: ProbeLocation): Promise<void> {
    try {
      await this.#load(location);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refuse(location, error.message);
    }
  }

  async #load(location: ProbeLocation): Promise<void> {
    const { pool, catalogue, log, observer } = this.#options;
    const files = await readProbeFolder(location);
    this.#keys += 1;
    const key = this.#keys;
    const { provider, fallback } = await pool.install({ key, files });
    const { name, version } = location;
    const { manifest, sha256 } = files;
    catalogue.add({ key, name, version, provider, sha256, manifest });
    observer.probeLoaded({ name, version, provider, sha256 });
    log.info({ name, version, provider, sha256 }, 'a probe was loaded');
    if (fallback !== undefined)
      log.warn({ name, version, reason: fallback }, 'CUDA cannot be used; the CPU is');
  }

  #refuse(location: ProbeLocation, reason: string): void {
    const { catalogue, log, observer } = this.#options;
    const { name, version } = location;
    catalogue.refuse(location, reason);
    observer.probeRefused({ name, version, reason });
    log.error({ name, version, reason }, 'a probe was refused');
  }
}
