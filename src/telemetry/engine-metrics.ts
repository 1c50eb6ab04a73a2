/** Owns what the engine's reports become in the metrics. */
import type { EngineObserver, Provider } from '../engine/types.js';
import type { Instruments } from './instruments.js';
import { startScoresAtZero } from './score-metrics.js';

const MS_PER_SECOND = 1000;

/** Hooks for the engine. */
export function observeEngine(instruments: Instruments): EngineObserver {
  /** A run is reported without its provider, which is known from the load. */
  const providers = new Map<string, Provider>();
  const labelsOf = (model: string, version: number) => ({
    model,
    version: String(version),
    provider: providers.get(`${model}@${version}`) ?? '',
  });
  return {
    batchRun: ({ model, version, samples, ms }) => {
      const labels = labelsOf(model, version);
      instruments.batchSize.observe(labels, samples);
      instruments.batchDuration.observe(labels, ms / MS_PER_SECOND);
    },
    entrySkipped: (reason) => instruments.skippedEntries.inc({ reason }),
    workerRestarted: () => instruments.workerRestarts.inc(),
    probeLoaded: ({ name: model, version, provider, sha256 }) => {
      const before = labelsOf(model, version);
      const labels = { ...before, provider };
      providers.set(`${model}@${version}`, provider);
      if (before.provider !== provider) {
        // Of a version that now runs elsewhere, only what it is now may show.
        instruments.providerInfo.remove(before);
        startScoresAtZero(instruments, labels);
      }
      instruments.modelInfo.set({ model, version, sha256 }, 1);
      instruments.providerInfo.set(labels, 1);
      instruments.loadedProbes.inc(labels);
      instruments.refusedProbes.inc({ model, version }, 0);
    },
    // What it has counted stays: a counter that vanishes would take its past from the sums over it. Its last runs still count.
    probeUnloaded: ({ name: model, version, provider, sha256 }) => {
      instruments.modelInfo.remove({ model, version, sha256 });
      instruments.providerInfo.remove({ model, version: String(version), provider });
    },
    probeRefused: ({ name: model, version }) => instruments.refusedProbes.inc({ model, version }),
  };
}
