/** Counts what the engine reports. */
import type { EngineObserver, Provider } from '../engine/types.js';
import type { Instruments } from './instruments.js';
import { startRequestsAtZero } from './score-metrics.js';

export function observeEngine(instruments: Instruments): EngineObserver {
  /** By `name@version`: reports of runs do not name the provider. */
  const providers = new Map<string, Provider>();
  const labelsOf = (model: string, version: number) => ({
    model,
    version: String(version),
    provider: providers.get(`${model}@${version}`) ?? '',
  });
  return {
    batchRun: ({ probe: { name, version }, samples, ms }) => {
      if (ms === undefined) return;
      const labels = labelsOf(name, version);
      instruments.batchSize.observe(labels, samples);
      instruments.batchDuration.observe(labels, ms / 1000);
    },
    entrySkipped: (reason) => instruments.skippedEntries.inc({ reason }),
    workerRestarted: () => instruments.workerRestarts.inc(),
    probeLoaded: ({ name: model, version, provider, sha256 }) => {
      const before = labelsOf(model, version);
      const labels = { ...before, provider };
      providers.set(`${model}@${version}`, provider);
      if (before.provider !== provider) {
        // The info metric must show the current provider only.
        instruments.providerInfo.remove(before);
        startRequestsAtZero(instruments, labels);
      }
      instruments.modelInfo.set({ model, version, sha256 }, 1);
      instruments.providerInfo.set(labels, 1);
      instruments.loadedProbes.inc(labels);
      instruments.refusedProbes.add({ model, version: String(version) }, 0);
    },
    // Counters stay: removing one would lower every sum over it, and the last batches of the probe still count.
    probeUnloaded: ({ name: model, version, provider, sha256 }) => {
      instruments.modelInfo.remove({ model, version, sha256 });
      instruments.providerInfo.remove({ model, version: String(version), provider });
    },
    probeRefused: ({ name: model, version }) =>
      instruments.refusedProbes.add({ model, version: String(version) }),
  };
}
